//! One header in the arena of its map.

use super::{Known, NameRef};

/// One header. Its bytes lie together in the arena: the lower-case name (if not known), then a gap that belongs to
/// nobody, then the value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value_at: u32,
    pub(super) value_len: u32,
    pub(super) name_len: u32,
    pub(super) known: Option<Known>,
    /// Bytes between name and value: the colon of a head that was copied whole.
    pub(super) gap: u8,
}

impl Entry {
    /// Where its bytes begin.
    pub(super) fn start(self) -> usize {
        let name = match self.known {
            Some(_) => 0,
            None => self.name_len as usize,
        };
        self.value_at as usize - usize::from(self.gap) - name
    }

    pub(super) fn end(self) -> usize {
        self.value_at as usize + self.value_len as usize
    }

    #[inline]
    pub(super) fn name(self, arena: &[u8]) -> &[u8] {
        match self.known {
            Some(known) => known.as_bytes(),
            None => self.other_name(arena),
        }
    }

    fn other_name(self, arena: &[u8]) -> &[u8] {
        let end = self.value_at as usize - usize::from(self.gap);
        &arena[end - self.name_len as usize..end]
    }

    #[inline]
    pub(super) fn value(self, arena: &[u8]) -> &[u8] {
        &arena[self.value_at as usize..self.end()]
    }

    #[inline]
    pub(super) fn is(self, name: NameRef<'_>, arena: &[u8]) -> bool {
        match name {
            NameRef::Known(known) => self.known == Some(known),
            NameRef::Other(name) => self.known.is_none() && self.name(arena) == name,
        }
    }

    pub(super) fn size(self) -> usize {
        self.name_len as usize + self.value_len as usize
    }
}
