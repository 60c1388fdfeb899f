//! [`HeaderMap`].

use std::fmt;

use super::lower::make_lower;
use super::{Known, KnownSet, NameRef};

/// Bytes of garbage that are tolerated in the arena before it may be compacted.
const MIN_GARBAGE: usize = 1024;

/// How [`HeaderMap::append_received`] treats a header.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Receive {
    /// Names whose repetitions are joined: their values are put behind the first one, after a comma.
    pub(crate) joined: KnownSet,
    /// Remember how the name was spelt.
    pub(crate) keep_case: bool,
    /// Store `host` as `:authority`.
    pub(crate) host_is_authority: bool,
}

/// One header. Its bytes lie together in the arena: the name as it was spelt (if kept), then the
/// lower-case name (if not known), then the value.
#[derive(Clone, Copy)]
struct Entry {
    offset: u32,
    name_len: u32,
    value_len: u32,
    known: Option<Known>,
    /// Whether the original spelling lies in front.
    spelt: bool,
}

impl Entry {
    fn value_offset(self) -> usize {
        let names = usize::from(self.spelt) + usize::from(self.known.is_none());
        self.offset as usize + names * self.name_len as usize
    }

    fn end(self) -> usize {
        self.value_offset() + self.value_len as usize
    }

    fn name(self, arena: &[u8]) -> &[u8] {
        if let Some(known) = self.known {
            return known.as_bytes();
        }
        let at = self.offset as usize + usize::from(self.spelt) * self.name_len as usize;
        &arena[at..at + self.name_len as usize]
    }

    fn value(self, arena: &[u8]) -> &[u8] {
        let at = self.value_offset();
        &arena[at..at + self.value_len as usize]
    }

    fn is(self, name: NameRef<'_>, arena: &[u8]) -> bool {
        match name {
            NameRef::Known(known) => self.known == Some(known),
            NameRef::Other(name) => self.known.is_none() && self.name(arena) == name,
        }
    }

    fn size(self) -> usize {
        self.name_len as usize + self.value_len as usize
    }
}

/// The headers (or trailers) of a message, pseudo headers included, in order, duplicates kept.
///
/// Names in calls are [`Known`] or lower-case text. Values are bytes; nothing is validated here (the decoders do).
#[derive(Clone, Default)]
pub struct HeaderMap {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    present: KnownSet,
    /// Sum of name and value lengths of all entries.
    bytes: usize,
    /// Bytes of the arena that no entry refers to.
    garbage: usize,
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

    /// Removes all headers and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.present = KnownSet::EMPTY;
        self.bytes = 0;
        self.garbage = 0;
    }

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

    /// Adds a header at the end, beside others of the same name.
    #[inline]
    pub fn append<'n>(&mut self, name: impl Into<NameRef<'n>>, value: &[u8]) {
        match name.into() {
            NameRef::Known(known) => self.append_known(known, value),
            NameRef::Other(name) => self.append_text(name, value, false),
        }
    }

    /// Adds a header whose name is spelt in any case, as received; `keep_case` also remembers that spelling.
    pub fn append_text(&mut self, name: &[u8], value: &[u8], keep_case: bool) {
        self.append_received(
            name,
            value,
            Receive {
                keep_case,
                ..Receive::default()
            },
        );
    }

    /// Adds a received header as `rules` say. Returns the known name under which it is found now.
    pub(crate) fn append_received(
        &mut self,
        name: &[u8],
        value: &[u8],
        rules: Receive,
    ) -> Option<Known> {
        let offset = self.arena.len();
        if rules.keep_case {
            self.arena.extend_from_slice(name);
        }
        let lower = self.arena.len();
        self.arena.extend_from_slice(name);
        make_lower(&mut self.arena[lower..]);
        let mut known = Known::from_lower(&self.arena[lower..]);
        if let Some(known) = &mut known {
            if rules.host_is_authority && *known == Known::Host {
                *known = Known::Authority;
            }
            let known = *known;
            if rules.joined.contains(known) && self.present.contains(known) {
                self.arena.truncate(offset);
                self.append_to_value(known, b",", value);
                return Some(known);
            }
            self.arena.truncate(lower);
            self.present.insert(known);
        }
        self.push(offset, name.len(), known, rules.keep_case, value);
        known
    }

    #[inline]
    fn append_known(&mut self, known: Known, value: &[u8]) {
        self.present.insert(known);
        self.push(
            self.arena.len(),
            known.as_bytes().len(),
            Some(known),
            false,
            value,
        );
    }

    #[inline]
    fn push(
        &mut self,
        offset: usize,
        name_len: usize,
        known: Option<Known>,
        spelt: bool,
        value: &[u8],
    ) {
        self.arena.extend_from_slice(value);
        // Codecs limit a map to a few MiB; offsets of 32 bits keep an entry at 16 bytes.
        assert!(
            self.arena.len() <= u32::MAX as usize,
            "header map larger than 4 GiB"
        );
        self.bytes += name_len + value.len();
        self.entries.push(Entry {
            offset: offset as u32,
            name_len: name_len as u32,
            value_len: value.len() as u32,
            known,
            spelt,
        });
    }

    /// Replaces all headers of this name by one, at the place of the first, or adds it at the end.
    pub fn set<'n>(&mut self, name: impl Into<NameRef<'n>>, value: &[u8]) {
        let name = name.into();
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
    pub fn remove<'n>(&mut self, name: impl Into<NameRef<'n>>) -> usize {
        let name = name.into();
        if !self.may_have(name) {
            return 0;
        }
        let removed = self.remove_after(0, name);
        if let NameRef::Known(known) = name {
            self.present.remove(known);
        }
        removed
    }

    /// Keeps only the headers for which `keep(name, value)` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let Self {
            arena,
            entries,
            present,
            bytes,
            garbage,
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
                *garbage += entry.end() - entry.offset as usize;
            }
            kept
        });
        self.compact_if_wasteful();
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

    /// All headers in order, as (known name, name as it was received if that was kept, value).
    pub fn iter_spelt(
        &self,
    ) -> impl DoubleEndedIterator<Item = (Option<Known>, Spelling<'_>, &[u8])> {
        self.entries.iter().map(|entry| {
            let spelling = if entry.spelt {
                let at = entry.offset as usize;
                Spelling::Received(&self.arena[at..at + entry.name_len as usize])
            } else {
                Spelling::Lower(entry.name(&self.arena))
            };
            (entry.known, spelling, entry.value(&self.arena))
        })
    }

    #[inline]
    fn may_have(&self, name: NameRef<'_>) -> bool {
        match name {
            NameRef::Known(known) => self.present.contains(known),
            NameRef::Other(_) => true,
        }
    }

    fn position(&self, name: NameRef<'_>) -> Option<usize> {
        if !self.may_have(name) {
            return None;
        }
        self.entries
            .iter()
            .position(|entry| entry.is(name, &self.arena))
    }

    fn remove_after(&mut self, from: usize, name: NameRef<'_>) -> usize {
        let before = self.entries.len();
        let mut at = from;
        while at < self.entries.len() {
            let entry = self.entries[at];
            if entry.is(name, &self.arena) {
                self.bytes -= entry.size();
                self.garbage += entry.end() - entry.offset as usize;
                self.entries.remove(at);
            } else {
                at += 1;
            }
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
            let at = entry.value_offset();
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
        let (start, end) = (entry.offset as usize, entry.end());
        entry.offset = self.arena.len() as u32;
        self.arena.extend_from_within(start..end);
        self.garbage += end - start;
    }

    fn compact_if_wasteful(&mut self) {
        if self.garbage > MIN_GARBAGE && self.garbage > self.arena.len() / 2 {
            let mut arena = Vec::with_capacity(self.arena.len() - self.garbage + MIN_GARBAGE);
            for entry in &mut self.entries {
                let (start, end) = (entry.offset as usize, entry.end());
                entry.offset = arena.len() as u32;
                arena.extend_from_slice(&self.arena[start..end]);
            }
            self.arena = arena;
            self.garbage = 0;
        }
    }
}

/// A header name with the spelling that [`HeaderMap::iter_spelt`] knows for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling<'a> {
    /// As the peer wrote it.
    Received(&'a [u8]),
    /// Lower case: added by this proxy, or no spelling was kept.
    Lower(&'a [u8]),
}

/// What is usually asked, by name.
impl HeaderMap {
    /// `:method`
    #[must_use]
    pub fn method(&self) -> Option<&[u8]> {
        self.get(Known::Method)
    }

    /// `:path`, with the query.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        self.get(Known::Path)
    }

    /// `:authority`, which is also what an HTTP/1 `host` header becomes.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        self.get(Known::Authority)
    }

    /// `:scheme`
    #[must_use]
    pub fn scheme(&self) -> Option<&[u8]> {
        self.get(Known::Scheme)
    }

    /// `:status`, if it is a number of three digits.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match *self.get(Known::Status)? {
            [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
            }
            _ => None,
        }
    }

    /// Sets `:status`.
    pub fn set_status(&mut self, status: u16) {
        self.set(Known::Status, itoa::Buffer::new().format(status).as_bytes());
    }

    /// Sets a header to a decimal number.
    pub fn set_number<'n>(&mut self, name: impl Into<NameRef<'n>>, number: u64) {
        self.set(name, itoa::Buffer::new().format(number).as_bytes());
    }

    /// `content-length`, if it is a plain decimal number.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        let digits = self.get(Known::ContentLength)?;
        digits.iter().all(u8::is_ascii_digit).then_some(())?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

/// Iterator over all headers: [`HeaderMap::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    arena: &'a [u8],
    entries: std::slice::Iter<'a, Entry>,
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

/// Iterator over the values of one name: [`HeaderMap::get_all`].
#[derive(Clone)]
pub struct GetAll<'a, 'n> {
    arena: &'a [u8],
    entries: std::slice::Iter<'a, Entry>,
    name: NameRef<'n>,
}

impl<'a> Iterator for GetAll<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let entry = self.entries.find(|entry| entry.is(self.name, self.arena))?;
        Some(entry.value(self.arena))
    }
}

impl<'a> IntoIterator for &'a HeaderMap {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> HeaderMap {
        [
            (":method", "GET"),
            ("x-a", "1"),
            ("accept", "x"),
            ("x-a", "2"),
            ("Cookie", "c"),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn look_up_keeps_order_and_duplicates() {
        let map = sample();
        assert_eq!(map.method(), Some(&b"GET"[..]));
        assert_eq!(
            map.get(Known::Cookie),
            Some(&b"c"[..]),
            "lower-cased and interned on insertion"
        );
        assert_eq!(map.get(Known::Host), None);
        assert_eq!(map.get_str("x-a"), Some(&b"1"[..]));
        assert_eq!(map.get_all("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(map.get_all(Known::Host).count(), 0);
        assert!(map.contains("accept") && map.contains(Known::Accept) && !map.contains("x-b"));
        assert_eq!(map.len(), 5);
        assert_eq!(map.byte_size(), 10 + 4 + 7 + 4 + 7);
        let names: Vec<_> = map.iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [&b":method"[..], b"x-a", b"accept", b"x-a", b"cookie"]
        );
    }

    #[test]
    fn set_replaces_all_at_the_first_place() {
        let mut map = sample();
        map.set("x-a", b"a much longer value");
        map.set(Known::Accept, b"");
        map.set("x-new", b"n");
        let all: Vec<_> = map.iter().collect();
        assert_eq!(
            all,
            [
                (&b":method"[..], &b"GET"[..]),
                (b"x-a", b"a much longer value"),
                (b"accept", b""),
                (b"cookie", b"c"),
                (b"x-new", b"n"),
            ]
        );
        assert_eq!(
            map.byte_size(),
            all.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>()
        );
    }

    #[test]
    fn remove_counts_and_clears_presence() {
        let mut map = sample();
        assert_eq!(map.remove("x-a"), 2);
        assert_eq!(map.remove(Known::Accept), 1);
        assert_eq!(map.remove(Known::Accept), 0);
        assert!(!map.contains(Known::Accept));
        assert_eq!(map.byte_size(), 10 + 7);
        map.retain(|name, _| name != b":method");
        assert_eq!(
            map.iter().collect::<Vec<_>>(),
            [(&b"cookie"[..], &b"c"[..])]
        );
        assert_eq!(map.method(), None);
    }

    #[test]
    fn values_grow_in_place() {
        let mut map = sample();
        map.append_to_value("x-a", b", ", b"3");
        map.append_to_value("x-b", b",", b"new");
        map.append_to_value("x-b", b",", b"more");
        assert_eq!(map.get_str("x-a"), Some(&b"1, 3"[..]));
        assert_eq!(map.get_str("x-b"), Some(&b"new,more"[..]));
        assert_eq!(map.get_all("x-a").nth(1), Some(&b"2"[..]));
    }

    #[test]
    fn repeated_changes_do_not_grow_the_arena() {
        let mut map = sample();
        for i in 0..100_000_u32 {
            map.set("x-a", &vec![b'x'; (i % 300) as usize]);
            map.remove("x-c");
            map.append("x-c", &[b'y'; 50]);
        }
        assert!(map.capacity() < 16 << 10, "{}", map.capacity());
        assert_eq!(map.method(), Some(&b"GET"[..]));
        assert_eq!(map.get(Known::Cookie), Some(&b"c"[..]));
    }

    #[test]
    fn spelling_is_kept_on_request() {
        let mut map = HeaderMap::new();
        map.append_text(b"X-CusTom", b"1", true);
        map.append_text(b"Content-TYPE", b"t", true);
        map.append_text(b"X-Plain", b"2", false);
        map.set("x-custom", b"another value");
        assert_eq!(map.get_str("x-custom"), Some(&b"another value"[..]));
        assert_eq!(map.get(Known::ContentType), Some(&b"t"[..]));
        let spelt: Vec<_> = map.iter_spelt().map(|(_, spelling, _)| spelling).collect();
        assert_eq!(
            spelt,
            [
                Spelling::Received(b"X-CusTom"),
                Spelling::Received(b"Content-TYPE"),
                Spelling::Lower(b"x-plain")
            ]
        );
    }

    #[test]
    fn numbers() {
        let mut map = HeaderMap::new();
        map.set_status(404);
        assert_eq!(map.status(), Some(404));
        map.set(Known::Status, b"40");
        assert_eq!(map.status(), None);
        map.set_number(Known::ContentLength, 1234);
        assert_eq!(map.content_length(), Some(1234));
        map.set(Known::ContentLength, b"+5");
        assert_eq!(map.content_length(), None);
    }
}
