//! Decoding header blocks.

use super::dynamic::DynamicTable;
use super::integer::Input;
use super::static_table::{self, STATIC_ENTRIES};
use super::{DEFAULT_TABLE_SIZE, Error};
use crate::{HeaderMap, Known};

/// One decoded field, as the caller sees it before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, if it is a known one. `host` is [`Known::Host`] here.
    pub known: Option<Known>,
    /// The name as received, not validated: it may hold upper-case letters or be empty.
    pub name: &'a [u8],
    /// The value as received, not validated.
    pub value: &'a [u8],
    /// The whole field is an entry of a table: it is not the first time that it is shown, unless it is a static one.
    pub indexed: bool,
}

/// What is to be done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Append it to the map. Not for names with upper-case letters, which the map would not find.
    Store,
    /// Leave it out: the caller has rejected it, or has put it into the map in its own way.
    Skip,
}

/// How much a header map may hold, as Envoy counts: names and values without overhead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sum of the lengths of names and values (`max_request_headers_kb`), in bytes.
    pub bytes: usize,
    /// Number of fields (`max_headers_count`).
    pub count: usize,
}

/// The limit that a header block has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::bytes`]
    Bytes,
    /// [`Limits::count`]
    Count,
}

/// What became of a header block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The first limit that was exceeded. The fields from there on were neither shown nor stored.
    pub exceeded: Option<Limit>,
}

/// The decoding half of a connection: a dynamic table that follows the peer's encoder.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// The table size that the peer may use at most.
    limit: u32,
    /// The smallest limit since the last block, if the table was larger: the next block must begin with an
    /// update to at most this.
    expected_update: Option<u32>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder as every connection begins: with an empty table of 4,096 bytes, for which no memory is taken yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: DynamicTable::new(DEFAULT_TABLE_SIZE),
            limit: DEFAULT_TABLE_SIZE,
            expected_update: None,
        }
    }

    /// While this number stays the same, a block that did not change it means the same fields again. None: the
    /// next block must begin with a size update.
    #[inline]
    pub(in crate::h2) fn generation(&self) -> Option<u64> {
        self.expected_update
            .is_none()
            .then(|| self.table.generation())
    }

    /// The peer has acknowledged a `SETTINGS_HEADER_TABLE_SIZE` of ours, in bytes.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
        if limit < self.table.max_size() || self.expected_update.is_some() {
            let smallest = self.expected_update.unwrap_or(limit).min(limit);
            self.expected_update = Some(smallest);
        }
    }

    /// Decodes a complete header block (HEADERS and its CONTINUATIONs, joined) and appends its fields to `headers`.
    ///
    /// Each field is shown to `visit` first, which may add to the map itself and says whether the field is to be stored. When
    /// a field would take the map over a limit, it and all that follow are dropped; they are
    /// decoded all the same, so that the table stays in step with the peer's.
    ///
    /// # Errors
    /// The block is malformed; the connection cannot go on.
    pub fn decode<V>(
        &mut self,
        block: &[u8],
        headers: &mut HeaderMap,
        limits: Limits,
        visit: V,
    ) -> Result<Decoded, Error>
    where
        V: FnMut(&mut HeaderMap, Field<'_>) -> Visit,
    {
        let mut input = Input::new(block);
        self.size_updates(&mut input)?;
        let mut sink = Sink {
            headers,
            limits,
            exceeded: None,
            visit,
        };
        while let Some(first) = input.next() {
            if first & 0x80 != 0 {
                let index = input.integer(first, 7)?;
                sink.take(self.field(index)?);
            } else if first & 0x40 != 0 {
                self.indexed_literal(first, &mut input, &mut sink)?;
            } else if first & 0x20 != 0 {
                return Err(Error::SizeUpdateMisplaced);
            } else {
                self.plain_literal(first, &mut input, &mut sink)?;
            }
        }
        self.table.shrink();
        Ok(Decoded {
            exceeded: sink.exceeded,
        })
    }

    /// Name and value of each entry of the dynamic table, the newest first.
    #[cfg(test)]
    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..).map_while(|age| {
            let entry = self.table.entry(age)?;
            Some((self.table.name(entry), self.table.value(entry)))
        })
    }

    /// The dynamic table's size by the RFC's reckoning.
    #[cfg(test)]
    pub(super) fn table_size(&self) -> usize {
        self.entries()
            .map(|(name, value)| name.len() + value.len() + super::ENTRY_OVERHEAD)
            .sum()
    }

    /// The updates that a block begins with (RFC 7541, section 4.2). Two are enough for any change; more are accepted,
    /// as Envoy does.
    fn size_updates(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        while let Some(first) = input.peek()
            && first & 0xe0 == 0x20
        {
            input.next();
            let size = input.integer(first, 5)?;
            if size > self.expected_update.take().unwrap_or(self.limit) {
                return Err(Error::SizeUpdateTooLarge);
            }
            self.table.set_max_size(size);
        }
        match self.expected_update {
            Some(_) => Err(Error::SizeUpdateMissing),
            None => Ok(()),
        }
    }

    /// The field with this index in the two tables.
    #[inline(always)]
    fn field(&self, index: u32) -> Result<Field<'_>, Error> {
        let at = index.wrapping_sub(1) as usize;
        if let Some(entry) = static_table::ENTRIES.get(at) {
            return Ok(Field {
                known: entry.known,
                name: entry.name.as_bytes(),
                value: entry.value.as_bytes(),
                indexed: true,
            });
        }
        let entry = self
            .table
            .entry(index.wrapping_sub(STATIC_ENTRIES + 1))
            .ok_or(Error::InvalidIndex)?;
        Ok(Field {
            known: entry.known,
            name: self.table.name(entry),
            value: self.table.value(entry),
            indexed: true,
        })
    }

    /// A literal with incremental indexing (section 6.2.1): built where it will stay, at the end of the table's bytes.
    #[inline(never)]
    fn indexed_literal<V>(
        &mut self,
        first: u8,
        input: &mut Input<'_>,
        sink: &mut Sink<'_, V>,
    ) -> Result<(), Error>
    where
        V: FnMut(&mut HeaderMap, Field<'_>) -> Visit,
    {
        let start = self.table.tail();
        let index = input.integer(first, 6)?;
        let (known, name_len) = if index == 0 {
            let len = self.table.push_string(input.string()?)?;
            let known = Known::from_lower(self.table.bytes(start, len));
            if known.is_some() {
                self.table.truncate(start);
            }
            (known, len)
        } else {
            let at = index.wrapping_sub(1) as usize;
            if let Some(entry) = static_table::ENTRIES.get(at) {
                if entry.known.is_none() {
                    self.table.push(entry.name.as_bytes());
                }
                (entry.known, entry.name.len())
            } else {
                let entry = *self
                    .table
                    .entry(index.wrapping_sub(STATIC_ENTRIES + 1))
                    .ok_or(Error::InvalidIndex)?;
                if entry.known.is_none() {
                    self.table.push_name_of(entry);
                }
                (entry.known, entry.name_len as usize)
            }
        };
        let value_start = self.table.tail();
        let value_len = self.table.push_string(input.string()?)?;
        sink.take(Field {
            known,
            name: match known {
                Some(known) => known.as_bytes(),
                None => self.table.bytes(start, name_len),
            },
            value: self.table.bytes(value_start, value_len),
            indexed: false,
        });
        self.table.commit(start, known, name_len, value_len);
        Ok(())
    }

    /// A literal without indexing, or never indexed (sections 6.2.2 and 6.2.3). The end of the table's bytes is scratch
    /// space for what is Huffman-coded; everything else is taken from where it lies.
    #[inline(never)]
    fn plain_literal<V>(
        &mut self,
        first: u8,
        input: &mut Input<'_>,
        sink: &mut Sink<'_, V>,
    ) -> Result<(), Error>
    where
        V: FnMut(&mut HeaderMap, Field<'_>) -> Visit,
    {
        let start = self.table.tail();
        let index = input.integer(first, 4)?;
        let new_name = if index == 0 {
            let name = input.string()?;
            let len = if name.huffman {
                self.table.push_string(name)?
            } else {
                0
            };
            Some((name, len))
        } else {
            None
        };
        let value = input.string()?;
        let value_start = self.table.tail();
        let value_len = if value.huffman {
            self.table.push_string(value)?
        } else {
            0
        };
        let (known, name) = match new_name {
            Some((name, len)) => {
                let name = if name.huffman {
                    self.table.bytes(start, len)
                } else {
                    name.bytes
                };
                (Known::from_lower(name), name)
            }
            None => {
                let field = self.field(index)?;
                (field.known, field.name)
            }
        };
        let value = if value.huffman {
            self.table.bytes(value_start, value_len)
        } else {
            value.bytes
        };
        sink.take(Field {
            known,
            name,
            value,
            indexed: false,
        });
        self.table.truncate(start);
        Ok(())
    }
}

/// Where fields go.
struct Sink<'h, V> {
    headers: &'h mut HeaderMap,
    limits: Limits,
    exceeded: Option<Limit>,
    visit: V,
}

impl<V> Sink<'_, V>
where
    V: FnMut(&mut HeaderMap, Field<'_>) -> Visit,
{
    #[inline]
    fn take(&mut self, field: Field<'_>) {
        if self.exceeded.is_some() {
            return;
        }
        match (self.visit)(self.headers, field) {
            Visit::Skip => {}
            Visit::Store => self.store(field),
        }
    }

    #[inline]
    fn store(&mut self, field: Field<'_>) {
        let size = field.name.len() + field.value.len();
        if self.headers.byte_size() + size > self.limits.bytes {
            self.exceeded = Some(Limit::Bytes);
        } else if self.headers.len() >= self.limits.count {
            self.exceeded = Some(Limit::Count);
        } else {
            self.headers
                .append_lower(field.known, field.name, field.value);
        }
    }
}
