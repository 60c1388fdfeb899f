//! Taking over a received head whole: one copy for all its headers.

use std::ops::Range;

use super::entry::Entry;
use super::lower::make_lower;
use super::{HeaderMap, Known};

/// Where a header lies in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Of the name.
    pub(crate) start: usize,
    /// Behind the name.
    pub(crate) name_end: usize,
    /// Of the value, white space around it left out.
    pub(crate) value_start: usize,
    /// Behind the value.
    pub(crate) value_end: usize,
}

/// The headers of one head on their way into an empty map. They refer to the head, which [`finish`](Self::finish)
/// copies; until then the map must not be read.
pub(crate) struct WholeHead<'m> {
    map: &'m mut HeaderMap,
    /// Some name is not a known one.
    others: bool,
    /// Bytes of the head that entries refer to.
    used: usize,
}

impl<'m> WholeHead<'m> {
    /// Empties `map` for a head.
    #[inline]
    pub(crate) fn begin(map: &'m mut HeaderMap) -> Self {
        map.clear();
        Self {
            map,
            others: false,
            used: 0,
        }
    }

    /// Number of headers so far, pseudo headers among them.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.map.entries.len()
    }

    /// Bytes of all names and values so far.
    #[inline]
    pub(crate) fn byte_size(&self) -> usize {
        self.map.bytes
    }

    /// Whether a header of this name is among them.
    #[inline]
    pub(crate) fn contains(&self, known: Known) -> bool {
        self.map.present.contains(known)
    }

    /// Adds a known header; its value is `value` of the head.
    #[inline]
    pub(crate) fn add_known(&mut self, known: Known, value: Range<usize>) {
        self.map.present.insert(known);
        self.used += value.len();
        self.add(Entry {
            value_at: value.start as u32,
            value_len: value.len() as u32,
            name_len: known.as_bytes().len() as u32,
            known: Some(known),
            gap: 0,
        });
    }

    /// Adds a header with a name that is not known. False: so much white space stands in front of its value that it
    /// has no room in an entry.
    #[inline]
    pub(crate) fn add_other(&mut self, line: Line) -> bool {
        let Ok(gap) = u8::try_from(line.value_start - line.name_end) else {
            return false;
        };
        self.others = true;
        self.used += line.value_end - line.start;
        self.add(Entry {
            value_at: line.value_start as u32,
            value_len: (line.value_end - line.value_start) as u32,
            name_len: (line.name_end - line.start) as u32,
            known: None,
            gap,
        });
        true
    }

    #[inline]
    fn add(&mut self, entry: Entry) {
        self.map.bytes += entry.size();
        self.map.entries.push(entry);
    }

    /// Copies the head, to which all that was added refers.
    ///
    /// # Panics
    /// When it is longer than 4 GiB.
    pub(crate) fn finish(self, head: &[u8]) -> &'m mut HeaderMap {
        let map = self.map;
        // Limits of codecs are far below; offsets of 32 bits keep an entry at 16 bytes.
        assert!(head.len() <= u32::MAX as usize, "head larger than 4 GiB");
        map.arena.extend_from_slice(head);
        map.garbage = head.len() - self.used;
        if self.others {
            for entry in map.entries.iter().filter(|entry| entry.known.is_none()) {
                let start = entry.start();
                make_lower(&mut map.arena[start..start + entry.name_len as usize]);
            }
        }
        map
    }
}
