//! `MatcherTree.prefix_match_map`.

use std::fmt;

use smallvec::SmallVec;

use crate::index::trie::{Item, NONE, Trie};

/// What hangs on prefixes.
pub(super) struct PrefixTree<T> {
    trie: Trie,
    items: Box<[T]>,
}

impl<T> PrefixTree<T> {
    /// No two prefixes are the same.
    pub(super) fn new(entries: Vec<(Box<[u8]>, T)>) -> PrefixTree<T> {
        let mut keys = Vec::with_capacity(entries.len());
        let mut items = Vec::with_capacity(entries.len());
        for (number, (key, item)) in (0_u32..).zip(entries) {
            keys.push(Item {
                key,
                prefixes: number,
                exacts: NONE,
            });
            items.push(item);
        }
        PrefixTree {
            trie: Trie::new(keys, false),
            items: items.into(),
        }
    }

    /// Shows what hangs on each prefix of `text`, the longest first, until `enough`.
    pub(super) fn walk<'t>(&'t self, text: &[u8], enough: &mut dyn FnMut(&'t T) -> bool) {
        let mut found = SmallVec::<[u32; 8]>::new();
        self.trie.walk(text, |number| found.push(number));
        let mut longest_first = found.into_iter().rev();
        longest_first.any(|number| enough(&self.items[number as usize]));
    }
}

impl<T: fmt::Debug> fmt::Debug for PrefixTree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&*self.items).finish()
    }
}
