//! The dynamic table (RFC 7541, sections 2.3.2 and 4), for both directions.

use super::integer::StringRef;
use super::{ENTRY_OVERHEAD, Error, huffman};
use crate::Known;

/// Bytes of storage that a table may keep beyond what its entries can need.
const SPARE: usize = 4096;

/// Where an entry's bytes lie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// Position of the value in the stream of all bytes ever added; wraps. The name lies in front of it, unless it is known.
    value_start: u32,
    pub(super) name_len: u32,
    value_len: u32,
    pub(super) known: Option<Known>,
    /// Number of an older entry, for the encoder's look-up.
    pub(super) link: u32,
}

impl Entry {
    fn size(&self) -> usize {
        self.name_len as usize + self.value_len as usize + ENTRY_OVERHEAD
    }

    /// Position of the first byte.
    fn start(&self) -> u32 {
        match self.known {
            Some(_) => self.value_start,
            None => self.value_start.wrapping_sub(self.name_len),
        }
    }
}

/// A queue of entries, each with its bytes in one piece.
///
/// Bytes are added at the tail of one vector; what evicted entries leave at its front is reclaimed by moving the rest
/// down when that costs no more than it frees. Entries lie in a ring of a power of two slots. Both grow with use, so an
/// idle connection owns nothing.
///
/// An entry's *number* counts insertions from 1 and wraps; the newest entry has the number [`inserted`](Self::inserted).
#[derive(Debug)]
pub(super) struct DynamicTable {
    bytes: Vec<u8>,
    /// Position of `bytes[0]`.
    base: u32,
    ring: Vec<Entry>,
    /// Number of the newest entry.
    inserted: u32,
    /// Entries in the table.
    count: u32,
    /// Size of the entries by the RFC's reckoning.
    size: usize,
    max_size: u32,
}

impl DynamicTable {
    pub(super) const fn new(max_size: u32) -> Self {
        Self {
            bytes: Vec::new(),
            base: 0,
            ring: Vec::new(),
            inserted: 0,
            count: 0,
            size: 0,
            max_size,
        }
    }

    #[inline]
    pub(super) fn max_size(&self) -> u32 {
        self.max_size
    }

    #[inline]
    pub(super) fn inserted(&self) -> u32 {
        self.inserted
    }

    /// A number that changes whenever entries come or go.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        u64::from(self.inserted) << 32 | u64::from(self.count)
    }

    /// Changes the maximum and evicts what no longer fits.
    pub(super) fn set_max_size(&mut self, max_size: u32) {
        self.max_size = max_size;
        self.evict_to(max_size as usize);
    }

    /// The entry that is `age` insertions old, if it is still there.
    #[inline]
    pub(super) fn entry(&self, age: u32) -> Option<&Entry> {
        if age >= self.count {
            return None;
        }
        self.ring.get(self.slot(self.inserted.wrapping_sub(age)))
    }

    #[inline]
    fn slot(&self, number: u32) -> usize {
        number as usize & self.ring.len().wrapping_sub(1)
    }

    #[inline]
    pub(super) fn name(&self, entry: &Entry) -> &[u8] {
        match entry.known {
            Some(known) => known.as_bytes(),
            None => self.bytes(entry.start(), entry.name_len as usize),
        }
    }

    #[inline]
    pub(super) fn value(&self, entry: &Entry) -> &[u8] {
        self.bytes(entry.value_start, entry.value_len as usize)
    }

    /// Whether an entry's value is this one.
    #[inline]
    pub(super) fn has_value(&self, entry: &Entry, value: &[u8]) -> bool {
        entry.value_len as usize == value.len() && self.value(entry) == value
    }

    /// The bytes at a position.
    #[inline]
    pub(super) fn bytes(&self, start: u32, len: usize) -> &[u8] {
        let at = start.wrapping_sub(self.base) as usize;
        &self.bytes[at..at + len]
    }

    /// Position of the next byte that is added.
    #[inline]
    pub(super) fn tail(&self) -> u32 {
        self.base.wrapping_add(self.bytes.len() as u32)
    }

    /// Drops the bytes that were added from `tail` on.
    #[inline]
    pub(super) fn truncate(&mut self, tail: u32) {
        self.bytes.truncate(tail.wrapping_sub(self.base) as usize);
    }

    /// Adds bytes at the tail.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds a received string at the tail, decoded; returns its length.
    #[inline]
    pub(super) fn push_string(&mut self, string: StringRef<'_>) -> Result<usize, Error> {
        if string.huffman {
            self.reserve(huffman::decoded_bound(string.bytes.len()));
            huffman::decode(string.bytes, &mut self.bytes)
        } else {
            self.push(string.bytes);
            Ok(string.bytes.len())
        }
    }

    /// Adds the (unknown) name of an entry at the tail.
    pub(super) fn push_name_of(&mut self, entry: Entry) {
        let len = entry.name_len as usize;
        self.reserve(len);
        let at = entry.start().wrapping_sub(self.base) as usize;
        self.bytes.extend_from_within(at..at + len);
    }

    /// Makes an entry of the bytes from `start` on: the name, unless it is known, and the value. Older ones make room
    /// (RFC 7541, section 4.4). Returns whether the entry is in the table: one that is larger than the table only
    /// empties it.
    pub(super) fn commit(
        &mut self,
        start: u32,
        known: Option<Known>,
        name_len: usize,
        value_len: usize,
    ) -> bool {
        let stored_name = if known.is_some() { 0 } else { name_len as u32 };
        let entry = Entry {
            value_start: start.wrapping_add(stored_name),
            name_len: name_len as u32,
            value_len: value_len as u32,
            known,
            link: 0,
        };
        let Some(room) = (self.max_size as usize).checked_sub(entry.size()) else {
            self.evict_to(0);
            self.truncate(start);
            return false;
        };
        self.evict_to(room);
        if self.count as usize == self.ring.len() {
            self.grow_ring();
        }
        self.size += entry.size();
        self.count += 1;
        self.inserted = self.inserted.wrapping_add(1);
        let slot = self.slot(self.inserted);
        self.ring[slot] = entry;
        true
    }

    /// Links the newest entry to an older one.
    #[inline]
    pub(super) fn link_newest(&mut self, older: u32) {
        let slot = self.slot(self.inserted);
        self.ring[slot].link = older;
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size
            && let Some(oldest) = self.oldest()
        {
            self.size -= oldest.size();
            self.count -= 1;
        }
    }

    #[inline]
    fn oldest(&self) -> Option<&Entry> {
        self.entry(self.count.wrapping_sub(1))
    }

    #[cold]
    fn grow_ring(&mut self) {
        let len = (self.ring.len() * 2).max(8);
        let mut grown = vec![Entry::default(); len];
        for age in 0..self.count {
            let number = self.inserted.wrapping_sub(age);
            grown[number as usize & (len - 1)] = self.ring[self.slot(number)];
        }
        self.ring = grown;
    }

    /// Makes room for `n` more bytes at the tail.
    #[inline]
    fn reserve(&mut self, n: usize) {
        if self.bytes.capacity() - self.bytes.len() < n {
            self.make_room(n);
        }
    }

    #[cold]
    fn make_room(&mut self, n: usize) {
        let dead = self.dead();
        if dead >= self.bytes.len() - dead {
            self.drop_front(dead);
        }
        self.bytes.reserve(n);
    }

    /// Bytes in front of the oldest entry. Without an entry nothing is called dead, for the tail may be in the making.
    fn dead(&self) -> usize {
        self.oldest()
            .map_or(0, |oldest| oldest.start().wrapping_sub(self.base) as usize)
    }

    fn drop_front(&mut self, dead: usize) {
        self.bytes.drain(..dead);
        self.base = self.base.wrapping_add(dead as u32);
    }

    /// Gives back what an unusually large block has taken. For when nothing is in the making.
    #[inline]
    pub(super) fn shrink(&mut self) {
        if self.bytes.capacity() > 4 * self.max_size as usize + SPARE {
            self.shrink_bytes();
        }
    }

    #[cold]
    fn shrink_bytes(&mut self) {
        if self.count == 0 {
            self.bytes.clear();
        }
        let dead = self.dead();
        self.drop_front(dead);
        self.bytes.shrink_to(self.max_size as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(table: &mut DynamicTable, name: &[u8], value: &[u8]) -> bool {
        let start = table.tail();
        table.push(name);
        table.push(value);
        table.commit(start, None, name.len(), value.len())
    }

    #[test]
    fn entries_leave_in_the_order_they_came() {
        let mut table = DynamicTable::new(3 * 34);
        for value in [b"1", b"2", b"3", b"4"] {
            assert!(insert(&mut table, b"n", value));
        }
        let values: Vec<_> = (0..4)
            .map(|age| table.entry(age).map(|entry| table.value(entry).to_vec()))
            .collect();
        assert_eq!(
            values,
            [
                Some(b"4".to_vec()),
                Some(b"3".to_vec()),
                Some(b"2".to_vec()),
                None
            ]
        );
        table.set_max_size(40);
        assert!(table.entry(0).is_some() && table.entry(1).is_none());
        assert!(
            !insert(&mut table, b"name", b"too large"),
            "an entry larger than the table empties it"
        );
        assert!(table.entry(0).is_none());
    }

    #[test]
    fn memory_stays_in_proportion_to_the_maximum() {
        let mut table = DynamicTable::new(4096);
        for i in 0..200_000_usize {
            let value = vec![b'v'; i % 600];
            insert(&mut table, b"some-name", &value);
            let entry = table.entry(0).unwrap();
            assert_eq!(table.value(entry), value);
            table.shrink();
        }
        assert!(
            table.bytes.capacity() <= 4 * 4096,
            "{}",
            table.bytes.capacity()
        );
        assert!(table.ring.len() <= 128);
        insert(&mut table, b"n", &vec![0; 1 << 20]);
        table.shrink();
        assert!(table.bytes.capacity() <= 4096);
    }

    #[test]
    fn numbers_and_positions_wrap() {
        let mut table = DynamicTable::new(200);
        table.inserted = u32::MAX - 5;
        table.base = u32::MAX - 50;
        for i in 0..100_u8 {
            insert(&mut table, b"name", &[i; 20]);
            for age in 0..=u32::from(i).min(2) {
                let entry = table.entry(age).unwrap();
                assert_eq!(table.value(entry), [i - age as u8; 20]);
                assert_eq!(table.name(entry), b"name");
            }
        }
    }
}
