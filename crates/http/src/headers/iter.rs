//! Iterators over headers.

use super::NameRef;
use super::entry::Entry;

/// Iterator over all headers: [`HeaderMap::iter`](super::HeaderMap::iter).
#[derive(Clone)]
pub struct Iter<'a> {
    pub(super) arena: &'a [u8],
    pub(super) entries: std::slice::Iter<'a, Entry>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        Some((entry.name(self.arena), entry.value(self.arena)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.entries.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next_back()?;
        Some((entry.name(self.arena), entry.value(self.arena)))
    }
}

/// Iterator over the values of one name: [`HeaderMap::get_all`](super::HeaderMap::get_all).
#[derive(Clone)]
pub struct GetAll<'a, 'n> {
    pub(super) arena: &'a [u8],
    pub(super) entries: std::slice::Iter<'a, Entry>,
    pub(super) name: NameRef<'n>,
}

impl<'a> Iterator for GetAll<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let entry = self.entries.find(|entry| entry.is(self.name, self.arena))?;
        Some(entry.value(self.arena))
    }
}
