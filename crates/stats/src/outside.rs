//! Numbers that are counted elsewhere and only shown with the stats: those of each endpoint, where a cluster asks for them.

use crate::read::{Kind, Query};

/// A counter or gauge that no group holds. Readers see it after all others, whether or not it was ever written.
#[derive(Clone, Debug)]
pub struct Outside {
    /// [`Kind::Counter`] or [`Kind::Gauge`].
    pub kind: Kind,
    /// The full name.
    pub name: String,
    /// The name without what its tags tell.
    pub extracted_name: String,
    /// Tags, beside the fixed ones of the configuration.
    pub tags: Vec<(&'static str, String)>,
    /// The value at the time of reading.
    pub value: u64,
}

impl Query<'_> {
    /// Those that are asked for.
    pub(crate) fn outside(&self) -> impl Iterator<Item = &Outside> {
        let all = self.outside.iter();
        all.filter(|one| self.wants(one.kind) && self.passes(&one.name))
    }
}
