//! Encoding header blocks.

use nuncio_buffer::Buffer;

use super::dynamic::DynamicTable;
use super::policy::{Indexing, indexing};
use super::static_table::{self, STATIC_ENTRIES, StaticMatch};
use super::{DEFAULT_TABLE_SIZE, huffman, integer};
use crate::{HeaderMap, Known};

/// Where searches for a name begin. Known names have a bucket of their own.
const BUCKETS: usize = 128;

/// Entries of a bucket that are looked at, newest first. What is older is as good as forgotten; it is inserted anew and
/// so becomes new.
const MAX_STEPS: usize = 8;

/// The encoding half of a connection: a dynamic table that the peer's decoder follows.
#[derive(Debug)]
pub struct Encoder {
    table: DynamicTable,
    /// The table size that we use at most.
    cap: u32,
    /// Number of the newest entry in each bucket; empty until the first entry. An entry's `link` is the next older one's number.
    buckets: Vec<u32>,
    /// The size changed since the last block: the smallest size in between.
    smallest: Option<u32>,
    huffman: bool,
}

/// What the dynamic table has for a field, as an index of both tables together.
enum DynamicMatch {
    Full(u32),
    Name(u32),
    None,
}

impl Encoder {
    /// An encoder for a new connection. `cap` is the largest table in bytes that we want (Envoy's `hpack_table_size`),
    /// however much the peer allows.
    #[must_use]
    pub fn new(cap: u32) -> Self {
        let mut encoder = Self {
            table: DynamicTable::new(DEFAULT_TABLE_SIZE),
            cap,
            buckets: Vec::new(),
            smallest: None,
            huffman: true,
        };
        encoder.set_peer_limit(DEFAULT_TABLE_SIZE);
        encoder
    }

    /// Whether strings are Huffman-coded when that makes them shorter (Envoy's `enable_huffman_encoding`). On by default.
    pub fn set_huffman(&mut self, on: bool) {
        self.huffman = on;
    }

    /// While this number stays the same, headers whose block did not change it have the same block again. None: the next
    /// block begins with a size update.
    #[inline]
    pub(in crate::h2) fn generation(&self) -> Option<u64> {
        self.smallest.is_none().then(|| self.table.generation())
    }

    /// The peer's `SETTINGS_HEADER_TABLE_SIZE`, in bytes. A change is announced at the beginning of the next block.
    pub fn set_peer_limit(&mut self, limit: u32) {
        let size = limit.min(self.cap);
        if size != self.table.max_size() {
            self.smallest = Some(self.smallest.unwrap_or(size).min(size));
            self.table.set_max_size(size);
        }
    }

    /// Appends the header block of `headers` to `out`: pseudo headers first, then the others in order. Fields for which `keep` is
    /// false are left out, and what only HTTP/1 heads have, which is no header.
    pub fn encode(
        &mut self,
        headers: &HeaderMap,
        keep: impl Fn(Option<Known>, &[u8]) -> bool,
        out: &mut Buffer,
    ) {
        // A field takes at most a type byte and two lengths of six bytes beside its text.
        let out = out.writer(headers.byte_size() + 13 * headers.len() + 12);
        self.write_size_update(out);
        if headers.pseudo_come_first() {
            for (known, name, value) in headers.iter_known() {
                if !is_of_http1(known) && keep(known, name) {
                    self.write_field(known, name, value, out);
                }
            }
        } else {
            for pseudo in [true, false] {
                for (known, name, value) in headers.iter_known() {
                    let in_turn = known.is_some_and(Known::is_pseudo) == pseudo;
                    if in_turn && !is_of_http1(known) && keep(known, name) {
                        self.write_field(known, name, value, out);
                    }
                }
            }
        }
        self.table.shrink();
    }

    fn write_size_update(&mut self, out: &mut Vec<u8>) {
        let Some(smallest) = self.smallest.take() else {
            return;
        };
        let size = self.table.max_size();
        if smallest < size {
            integer::write(0x20, 5, smallest, out);
        }
        integer::write(0x20, 5, size, out);
    }

    fn write_field(&mut self, known: Option<Known>, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        // What the static table has most of, it is asked for first.
        let pseudo = known.is_some_and(Known::is_pseudo);
        if pseudo && let StaticMatch::Full(index) = static_table::find(known, name, value) {
            return integer::write(0x80, 7, index, out);
        }
        // Fields that shall not be indexed are not in the dynamic table; so a match needs no further question.
        let mut name_index = match self.find(known, name, value) {
            DynamicMatch::Full(index) => return integer::write(0x80, 7, index, out),
            DynamicMatch::Name(index) => index,
            DynamicMatch::None => 0,
        };
        match static_table::find(known, name, value) {
            StaticMatch::Full(index) => return integer::write(0x80, 7, index, out),
            StaticMatch::Name(index) => name_index = index,
            StaticMatch::None => {}
        }
        self.write_literal(known, name, value, name_index, out);
    }

    #[inline(never)]
    fn write_literal(
        &mut self,
        known: Option<Known>,
        name: &[u8],
        value: &[u8],
        name_index: u32,
        out: &mut Vec<u8>,
    ) {
        let indexing = indexing(known, name, value, self.table.max_size());
        match indexing {
            Indexing::Incremental => integer::write(0x40, 6, name_index, out),
            Indexing::Without => integer::write(0x00, 4, name_index, out),
            Indexing::Never => integer::write(0x10, 4, name_index, out),
        }
        if name_index == 0 {
            write_string(name, self.huffman, out);
        }
        write_string(value, self.huffman, out);
        if indexing == Indexing::Incremental {
            self.insert(known, name, value);
        }
    }

    /// The usual case: the newest entry in the name's bucket is the field.
    #[inline]
    fn find(&self, known: Option<Known>, name: &[u8], value: &[u8]) -> DynamicMatch {
        let Some(&number) = self.buckets.get(bucket(known, name)) else {
            return DynamicMatch::None;
        };
        let age = self.table.inserted().wrapping_sub(number);
        match self.table.entry(age) {
            Some(entry)
                if entry.known == known
                    && self.table.has_value(entry, value)
                    && (known.is_some() || self.table.name(entry) == name) =>
            {
                DynamicMatch::Full(STATIC_ENTRIES + 1 + age)
            }
            Some(_) => self.search(number, known, name, value),
            None => DynamicMatch::None,
        }
    }

    #[inline(never)]
    fn search(
        &self,
        mut number: u32,
        known: Option<Known>,
        name: &[u8],
        value: &[u8],
    ) -> DynamicMatch {
        let mut name_match = DynamicMatch::None;
        for _ in 0..MAX_STEPS {
            let age = self.table.inserted().wrapping_sub(number);
            let Some(entry) = self.table.entry(age) else {
                break;
            };
            if entry.known == known && (known.is_some() || self.table.name(entry) == name) {
                let index = STATIC_ENTRIES + 1 + age;
                if self.table.has_value(entry, value) {
                    return DynamicMatch::Full(index);
                }
                if matches!(name_match, DynamicMatch::None) {
                    name_match = DynamicMatch::Name(index);
                }
            }
            number = entry.link;
        }
        name_match
    }

    fn insert(&mut self, known: Option<Known>, name: &[u8], value: &[u8]) {
        let start = self.table.tail();
        if known.is_none() {
            self.table.push(name);
        }
        self.table.push(value);
        if !self.table.commit(start, known, name.len(), value.len()) {
            return;
        }
        if self.buckets.is_empty() {
            self.buckets = vec![0; BUCKETS];
        }
        let newest = &mut self.buckets[bucket(known, name)];
        let older = std::mem::replace(newest, self.table.inserted());
        self.table.link_newest(older);
    }
}

/// Where the search for a name begins.
#[inline]
fn bucket(known: Option<Known>, name: &[u8]) -> usize {
    if let Some(known) = known {
        return known as usize % BUCKETS;
    }
    let (Some(first), Some(last)) = (name.first(), name.last()) else {
        return 0;
    };
    let middle = name[name.len() / 2];
    let mixed =
        name.len() ^ usize::from(*first) << 3 ^ usize::from(middle) << 1 ^ usize::from(*last) << 5;
    (mixed ^ mixed >> 7) % BUCKETS
}

/// A string literal, Huffman-coded if that is allowed and makes it shorter.
#[inline]
fn write_string(text: &[u8], huffman: bool, out: &mut Vec<u8>) {
    if huffman {
        let coded = huffman::encoded_len(text);
        if coded < text.len() {
            integer::write(0x80, 7, coded as u32, out);
            return huffman::encode(text, out);
        }
    }
    integer::write(0x00, 7, text.len() as u32, out);
    out.extend_from_slice(text);
}
/// Whether that is no header, but what a head of HTTP/1 said beside its headers.
fn is_of_http1(known: Option<Known>) -> bool {
    known == Some(Known::ReasonPhrase)
}
