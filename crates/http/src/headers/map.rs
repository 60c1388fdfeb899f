//! [`HeaderMap`]: its storage, and all that changes it.

use std::fmt;

use super::entry::Entry;
use super::lower::make_lower;
use super::spelling::Spellings;
use super::{Known, KnownSet, NameRef};

/// Bytes of garbage that are tolerated in the arena before it may be compacted.
const MIN_GARBAGE: usize = 1024;

/// How [`HeaderMap::append_received`] treats a header.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receive {
    /// Names whose repetitions are joined: their values are put behind the first one, after a comma.
    pub(crate) joined: KnownSet,
    /// Store `host` as `:authority`.
    pub(crate) host_is_authority: bool,
}

/// The headers (or trailers) of a message, pseudo headers included, in order, duplicates kept.
///
/// Names in calls are [`Known`] or lower-case text. Values are bytes; nothing is validated here (the decoders do).
#[derive(Clone, Default)]
pub struct HeaderMap {
    pub(super) arena: Vec<u8>,
    pub(super) entries: Vec<Entry>,
    pub(super) present: KnownSet,
    /// Sum of name and value lengths of all entries.
    pub(super) bytes: usize,
    /// Bytes of the arena that no entry refers to.
    pub(super) garbage: usize,
    /// Only of messages whose names are written as they were received.
    pub(super) spellings: Option<Box<Spellings>>,
}

impl HeaderMap {
    /// An empty map that owns no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            arena: Vec::new(),
            entries: Vec::new(),
            present: KnownSet::EMPTY,
            bytes: 0,
            garbage: 0,
            spellings: None,
        }
    }

    /// Number of headers, duplicates and pseudo headers counted.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no header.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sum of the lengths of all names and values (Envoy's `byteSize`).
    #[inline]
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory owned, used or not.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Bytes that a copy takes.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.arena.len() + size_of_val(self.entries.as_slice())
    }

    /// Becomes a copy of `other`, in the memory that is there.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        let Self {
            arena,
            entries,
            present,
            bytes,
            garbage,
            spellings,
        } = other;
        self.arena.clear();
        self.arena.extend_from_slice(arena);
        self.entries.clear();
        self.entries.extend_from_slice(entries);
        self.present = *present;
        self.bytes = *bytes;
        self.garbage = *garbage;
        self.spellings.clone_from(spellings);
    }

    /// Whether both are the same byte for byte, so that they surely hold the same headers. Equal maps need not be.
    pub(crate) fn is_copy_of(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.arena == other.arena && self.entries == other.entries
    }

    /// Removes all headers and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.present = KnownSet::EMPTY;
        self.bytes = 0;
        self.garbage = 0;
        self.spellings = None;
    }

    /// Adds a header at the end, beside others of the same name.
    #[inline]
    pub fn append<'n>(&mut self, name: impl Into<NameRef<'n>>, value: &[u8]) {
        match name.into() {
            NameRef::Known(known) => self.append_known(known, value),
            NameRef::Other(name) => {
                self.append_any_case(name, value, Receive::default());
            }
        }
    }

    /// Adds a header at the end whose name is in lower case already and is `known`, if it is a known one: nothing is looked up.
    #[inline]
    pub(crate) fn append_lower(&mut self, known: Option<Known>, name: &[u8], value: &[u8]) {
        match known {
            Some(known) => self.present.insert(known),
            None => self.arena.extend_from_slice(name),
        }
        self.push(name.len(), known, value);
    }

    /// Whether no pseudo header stands behind another header.
    pub(crate) fn pseudo_come_first(&self) -> bool {
        let is_pseudo = |entry: &Entry| entry.known.is_some_and(Known::is_pseudo);
        self.entries.is_sorted_by_key(|entry| !is_pseudo(entry))
    }

    /// Adds a header whose name is spelt in any case, as received.
    pub fn append_text(&mut self, name: &[u8], value: &[u8]) {
        self.append_received(name, value, Receive::default());
    }

    /// Adds a received header as `rules` say. Returns the known name under which it is found now.
    pub(crate) fn append_received(
        &mut self,
        name: &[u8],
        value: &[u8],
        rules: Receive,
    ) -> Option<Known> {
        if let Some(spellings) = &mut self.spellings {
            spellings.remember(name);
        }
        self.append_any_case(name, value, rules)
    }

    fn append_any_case(&mut self, name: &[u8], value: &[u8], rules: Receive) -> Option<Known> {
        let mut known = Known::from_any_case(name);
        let mut name_len = name.len();
        if let Some(known) = &mut known {
            if rules.host_is_authority && *known == Known::Host {
                *known = Known::Authority;
                name_len = Known::Authority.as_bytes().len();
            }
            let known = *known;
            if self.present.contains(known) && rules.joined.contains(known) {
                self.append_to_value(known, b",", value);
                return Some(known);
            }
            self.present.insert(known);
        }
        if known.is_none() {
            let lower = self.arena.len();
            self.arena.extend_from_slice(name);
            make_lower(&mut self.arena[lower..]);
        }
        self.push(name_len, known, value);
        known
    }

    #[inline]
    fn append_known(&mut self, known: Known, value: &[u8]) {
        self.present.insert(known);
        self.push(known.as_bytes().len(), Some(known), value);
    }

    /// Adds an entry whose name lies at the arena's end already.
    #[inline]
    fn push(&mut self, name_len: usize, known: Option<Known>, value: &[u8]) {
        let value_at = self.arena.len();
        self.arena.extend_from_slice(value);
        // Codecs limit a map to a few MiB; offsets of 32 bits keep an entry at 16 bytes.
        assert!(
            self.arena.len() <= u32::MAX as usize,
            "header map larger than 4 GiB"
        );
        self.bytes += name_len + value.len();
        self.entries.push(Entry {
            value_at: value_at as u32,
            value_len: value.len() as u32,
            name_len: name_len as u32,
            known,
            gap: 0,
        });
    }

    /// Replaces all headers of this name by one, at the place of the first, or adds it at the end.
    pub fn set<'n>(&mut self, name: impl Into<NameRef<'n>>, value: &[u8]) {
        match name.into() {
            NameRef::Known(known) if !self.present.contains(known) => {
                self.append_known(known, value);
            }
            name => self.replace(name, value),
        }
    }

    fn replace(&mut self, name: NameRef<'_>, value: &[u8]) {
        match self.position(name) {
            Some(index) => {
                self.replace_value(index, value);
                self.remove_after(index + 1, name);
            }
            None => self.append(name, value),
        }
    }

    /// Appends to the first value of this name, after `delimiter`, or adds the header if there is none.
    /// An empty value is replaced (Envoy's `appendCopy`).
    pub fn append_to_value<'n>(
        &mut self,
        name: impl Into<NameRef<'n>>,
        delimiter: &[u8],
        value: &[u8],
    ) {
        let name = name.into();
        let Some(index) = self.position(name) else {
            return self.append(name, value);
        };
        let entry = self.entries[index];
        if entry.value_len == 0 {
            return self.replace_value(index, value);
        }
        if value.is_empty() {
            return;
        }
        if entry.end() != self.arena.len() {
            self.move_to_end(index);
        }
        self.arena.extend_from_slice(delimiter);
        self.arena.extend_from_slice(value);
        let added = delimiter.len() + value.len();
        self.entries[index].value_len += added as u32;
        self.bytes += added;
        self.compact_if_wasteful();
    }

    /// Removes all headers of this name and returns how many there were.
    #[inline]
    pub fn remove<'n>(&mut self, name: impl Into<NameRef<'n>>) -> usize {
        let name = name.into();
        if !self.may_have(name) {
            return 0;
        }
        self.remove_some(name)
    }

    fn remove_some(&mut self, name: NameRef<'_>) -> usize {
        let removed = self.remove_after(0, name);
        if let NameRef::Known(known) = name {
            self.present.remove(known);
        }
        removed
    }

    /// Removes all headers whose names are in `names`. Costs next to nothing when none is there.
    #[inline]
    pub fn remove_all(&mut self, names: KnownSet) {
        if self.present.meets(names) {
            self.remove_present(names);
        }
    }

    fn remove_present(&mut self, names: KnownSet) {
        let Self {
            entries,
            bytes,
            garbage,
            ..
        } = self;
        entries.retain(|entry| {
            let kept = !entry.known.is_some_and(|known| names.contains(known));
            if !kept {
                *bytes -= entry.size();
                *garbage += entry.end() - entry.start();
            }
            kept
        });
        self.present = self.present.without(names);
        self.compact_if_wasteful();
    }

    /// Keeps only the headers for which `keep(name, value)` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let Self {
            arena,
            entries,
            present,
            bytes,
            garbage,
            spellings: _,
        } = self;
        *present = KnownSet::EMPTY;
        entries.retain(|entry| {
            let kept = keep(entry.name(arena), entry.value(arena));
            if kept {
                if let Some(known) = entry.known {
                    present.insert(known);
                }
            } else {
                *bytes -= entry.size();
                *garbage += entry.end() - entry.start();
            }
            kept
        });
        self.compact_if_wasteful();
    }

    #[inline]
    pub(super) fn may_have(&self, name: NameRef<'_>) -> bool {
        match name {
            NameRef::Known(known) => self.present.contains(known),
            NameRef::Other(_) => true,
        }
    }

    fn position(&self, name: NameRef<'_>) -> Option<usize> {
        if !self.may_have(name) {
            return None;
        }
        self.position_in(0, name)
    }

    /// The first entry of that name from `from` on.
    #[inline]
    fn position_in(&self, from: usize, name: NameRef<'_>) -> Option<usize> {
        let mut rest = self.entries[from..].iter();
        let found = match name {
            NameRef::Known(known) => rest.position(|entry| entry.known == Some(known)),
            other @ NameRef::Other(_) => rest.position(|entry| entry.is(other, &self.arena)),
        };
        found.map(|found| from + found)
    }

    fn remove_after(&mut self, from: usize, name: NameRef<'_>) -> usize {
        let before = self.entries.len();
        let mut at = from;
        while let Some(found) = self.position_in(at, name) {
            let entry = self.entries.remove(found);
            self.bytes -= entry.size();
            self.garbage += entry.end() - entry.start();
            at = found;
        }
        let removed = before - self.entries.len();
        if removed > 0 {
            self.compact_if_wasteful();
        }
        removed
    }

    fn replace_value(&mut self, index: usize, value: &[u8]) {
        let entry = &mut self.entries[index];
        let old_len = entry.value_len as usize;
        self.bytes = self.bytes - old_len + value.len();
        if value.len() <= old_len {
            let at = entry.value_at as usize;
            self.arena[at..at + value.len()].copy_from_slice(value);
            entry.value_len = value.len() as u32;
            self.garbage += old_len - value.len();
        } else {
            entry.value_len = 0;
            self.garbage += old_len;
            self.move_to_end(index);
            self.arena.extend_from_slice(value);
            self.entries[index].value_len = value.len() as u32;
        }
        self.compact_if_wasteful();
    }

    /// Copies an entry's bytes to the arena's end, so that its value can grow.
    fn move_to_end(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        let (start, end) = (entry.start(), entry.end());
        entry.value_at += (self.arena.len() - start) as u32;
        self.arena.extend_from_within(start..end);
        self.garbage += end - start;
    }

    fn compact_if_wasteful(&mut self) {
        if self.garbage > MIN_GARBAGE && self.garbage > self.arena.len() / 2 {
            let mut arena = Vec::with_capacity(self.arena.len() - self.garbage + MIN_GARBAGE);
            for entry in &mut self.entries {
                let (start, end) = (entry.start(), entry.end());
                entry.value_at = (arena.len() + (entry.value_at as usize - start)) as u32;
                arena.extend_from_slice(&self.arena[start..end]);
            }
            self.arena = arena;
            self.garbage = 0;
        }
    }
}

/// Builds a map from (name, value) pairs, mostly for tests and fixed replies.
impl<'a, V: AsRef<[u8]>> FromIterator<(&'a str, V)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (&'a str, V)>>(pairs: I) -> Self {
        let mut map = Self::new();
        for (name, value) in pairs {
            map.append(name, value.as_ref());
        }
        map
    }
}

/// Equal when both hold the same headers in the same order.
impl PartialEq for HeaderMap {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for HeaderMap {}

impl fmt::Debug for HeaderMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for (name, value) in self {
            list.entry(&format_args!(
                "{}: {}",
                name.escape_ascii(),
                value.escape_ascii()
            ));
        }
        list.finish()
    }
}
