//! Cluster names, interned: routes name clusters, workers look them up by number.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// The number of a cluster's name: an index into each worker's table of clusters. A name keeps its number for the
/// life of the process, whether or not a cluster of that name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

/// All cluster names that configuration has mentioned. Never filled from network input.
#[derive(Default)]
pub struct ClusterNames(RwLock<Names>);

#[derive(Default)]
struct Names {
    by_name: HashMap<Arc<str>, ClusterId>,
    by_id: Vec<Arc<str>>,
}

impl ClusterNames {
    /// The number of a name from the configuration; a new name gets the next number.
    pub fn intern(&self, name: &str) -> ClusterId {
        if let Some(id) = self.lookup(name) {
            return id;
        }
        let mut names = self
            .0
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(id) = names.by_name.get(name) {
            return *id;
        }
        let name: Arc<str> = Arc::from(name);
        let id =
            ClusterId(u32::try_from(names.by_id.len()).expect("fewer than 2^32 cluster names"));
        names.by_id.push(name.clone());
        names.by_name.insert(name, id);
        id
    }

    /// The number of a name, if configuration has mentioned it.
    pub fn lookup(&self, name: &str) -> Option<ClusterId> {
        let names = self
            .0
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        names.by_name.get(name).copied()
    }

    /// The name behind a number of this table.
    pub fn name(&self, id: ClusterId) -> Option<Arc<str>> {
        let names = self
            .0
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        names.by_id.get(id.0 as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let names = ClusterNames::default();
        let a = names.intern("a");
        let b = names.intern("b");
        assert_ne!(a, b);
        assert_eq!(names.intern("a"), a);
        assert_eq!(names.lookup("b"), Some(b));
        assert_eq!(names.lookup("c"), None);
        assert_eq!(names.name(a).as_deref(), Some("a"));
    }
}
