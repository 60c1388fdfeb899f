//! What is there: by name, and in order.

use super::{GetAll, HeaderMap, Iter, Known, KnownSet, NameRef};

impl HeaderMap {
    /// The first value of a known name.
    #[inline]
    #[must_use]
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        if !self.present.contains(known) {
            return None;
        }
        let entry = self
            .entries
            .iter()
            .find(|entry| entry.known == Some(known))?;
        Some(entry.value(&self.arena))
    }

    /// The first value of a name given as lower-case text.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&[u8]> {
        self.get_name(name)
    }

    /// The first value of any name.
    #[must_use]
    pub fn get_name<'n>(&self, name: impl Into<NameRef<'n>>) -> Option<&[u8]> {
        match name.into() {
            NameRef::Known(known) => self.get(known),
            name @ NameRef::Other(_) => {
                let entry = self
                    .entries
                    .iter()
                    .find(|entry| entry.is(name, &self.arena))?;
                Some(entry.value(&self.arena))
            }
        }
    }

    /// All values of a name, in order.
    #[must_use]
    pub fn get_all<'a, 'n>(&'a self, name: impl Into<NameRef<'n>>) -> GetAll<'a, 'n> {
        let name = name.into();
        let entries = if self.may_have(name) {
            self.entries.as_slice()
        } else {
            &[]
        };
        GetAll {
            arena: &self.arena,
            entries: entries.iter(),
            name,
        }
    }

    /// Whether a header of this name is there.
    #[inline]
    #[must_use]
    pub fn contains<'n>(&self, name: impl Into<NameRef<'n>>) -> bool {
        match name.into() {
            NameRef::Known(known) => self.present.contains(known),
            name @ NameRef::Other(_) => {
                self.entries.iter().any(|entry| entry.is(name, &self.arena))
            }
        }
    }

    /// Whether a header is there whose name is in `names`.
    #[inline]
    #[must_use]
    pub fn contains_any(&self, names: KnownSet) -> bool {
        self.present.meets(names)
    }

    /// All headers in order, as (name, value).
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            arena: &self.arena,
            entries: self.entries.iter(),
        }
    }

    /// All headers in order, as (known name if it is one, name, value).
    pub fn iter_known(&self) -> impl DoubleEndedIterator<Item = (Option<Known>, &[u8], &[u8])> {
        self.entries.iter().map(|entry| {
            (
                entry.known,
                entry.name(&self.arena),
                entry.value(&self.arena),
            )
        })
    }
}

impl<'a> IntoIterator for &'a HeaderMap {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
