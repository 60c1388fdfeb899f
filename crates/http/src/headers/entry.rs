//! One header in the arena of its map.

use super::{Known, NameRef};

/// One header. Its bytes lie together in the arena: the name as it was spelt (if kept), then the
/// lower-case name (if not known), then the value.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) offset: u32,
    pub(super) name_len: u32,
    pub(super) value_len: u32,
    pub(super) known: Option<Known>,
    /// Whether the original spelling lies in front.
    pub(super) spelt: bool,
}

impl Entry {
    pub(super) fn value_offset(self) -> usize {
        let names = usize::from(self.spelt) + usize::from(self.known.is_none());
        self.offset as usize + names * self.name_len as usize
    }

    pub(super) fn end(self) -> usize {
        self.value_offset() + self.value_len as usize
    }

    pub(super) fn name(self, arena: &[u8]) -> &[u8] {
        if let Some(known) = self.known {
            return known.as_bytes();
        }
        let at = self.offset as usize + usize::from(self.spelt) * self.name_len as usize;
        &arena[at..at + self.name_len as usize]
    }

    pub(super) fn value(self, arena: &[u8]) -> &[u8] {
        let at = self.value_offset();
        &arena[at..at + self.value_len as usize]
    }

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
