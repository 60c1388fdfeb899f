//! Protobuf's wire format: reading and writing of tags, varints and length-delimited fields.
//!
//! Also used by `build.rs`, so it names nothing of this crate.

/// One field of an encoded message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WireField<'a> {
    /// The field's number.
    pub(crate) number: u32,
    /// The value, still typed by wire type only.
    pub(crate) value: WireValue<'a>,
}

/// A value as its wire type tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WireValue<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

impl<'a> WireValue<'a> {
    /// The payload of a length-delimited value; empty for any other wire type.
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// The bits of a numeric value; 0 for a length-delimited one.
    pub(crate) fn bits(self) -> u64 {
        match self {
            Self::Varint(bits) | Self::Fixed64(bits) => bits,
            Self::Fixed32(bits) => u64::from(bits),
            Self::Bytes(_) => 0,
        }
    }
}

/// The encoded message is not valid wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Iterates over the fields of an encoded message, in wire order.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of the encoded message `bytes`.
pub(crate) fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { rest: bytes }
}

impl<'a> Fields<'a> {
    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<WireField<'a>, Malformed> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|&n| (1..=0x1fff_ffff).contains(&n))
            .ok_or(Malformed)?;
        let value = match tag & 7 {
            0 => WireValue::Varint(self.varint()?),
            1 => WireValue::Fixed64(u64::from_le_bytes(
                self.take(8)?.try_into().map_err(|_| Malformed)?,
            )),
            2 => {
                let len = self.varint()?;
                WireValue::Bytes(self.take(len)?)
            }
            5 => WireValue::Fixed32(u32::from_le_bytes(
                self.take(4)?.try_into().map_err(|_| Malformed)?,
            )),
            // Groups (3, 4) are not part of proto3.
            _ => return Err(Malformed),
        };
        Ok(WireField { number, value })
    }

    /// The next value of a packed repeated field of varints.
    pub(crate) fn next_varint(&mut self) -> Option<Result<u64, Malformed>> {
        (!self.rest.is_empty()).then(|| self.varint())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<WireField<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The first value of field `number` in a message known to be well-formed.
pub(crate) fn find(bytes: &[u8], number: u32) -> Option<WireValue<'_>> {
    fields(bytes)
        .flatten()
        .find(|f| f.number == number)
        .map(|f| f.value)
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low seven bits are meant"
        )]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "less than 0x80 here")]
    out.push(value as u8);
}

/// Appends a tag; `wire_type` is 0, 1, 2 or 5.
pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field as it was read.
pub(crate) fn put_field(out: &mut Vec<u8>, field: WireField<'_>) {
    match field.value {
        WireValue::Varint(bits) => {
            put_tag(out, field.number, 0);
            put_varint(out, bits);
        }
        WireValue::Fixed64(bits) => {
            put_tag(out, field.number, 1);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        WireValue::Bytes(bytes) => put_bytes(out, field.number, bytes),
        WireValue::Fixed32(bits) => {
            put_tag(out, field.number, 5);
            out.extend_from_slice(&bits.to_le_bytes());
        }
    }
}

/// Appends a length-delimited field whose payload `write` appends; the length is put in afterwards.
pub(crate) fn put_nested<T>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> T,
) -> T {
    put_tag(out, number, 2);
    let start = out.len();
    out.push(0);
    let result = write(out);
    let len = out.len() - start - 1;
    if len < 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 0x80 here")]
        {
            out[start] = len as u8;
        }
    } else {
        let mut prefix = Vec::with_capacity(5);
        put_varint(&mut prefix, len as u64);
        out.splice(start..=start, prefix);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        put_tag(&mut out, 1, 0);
        put_varint(&mut out, u64::MAX);
        put_nested(&mut out, 2, |out| put_bytes(out, 3, &[7; 300]));
        put_field(
            &mut out,
            WireField {
                number: 4,
                value: WireValue::Fixed32(9),
            },
        );
        put_field(
            &mut out,
            WireField {
                number: 5,
                value: WireValue::Fixed64(10),
            },
        );
        let all: Vec<_> = fields(&out).map(Result::unwrap).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(all[0].value.bits(), u64::MAX);
        assert_eq!(find(all[1].value.bytes(), 3).unwrap().bytes(), [7; 300]);
        assert_eq!((all[2].value.bits(), all[3].value.bits()), (9, 10));
    }

    #[test]
    fn garbage_ends_the_iteration() {
        for garbage in [
            &b"\x08"[..],
            b"\x0a\x05ab",
            b"\x0b",
            b"\x00\x00",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            let mut fields = fields(garbage);
            assert_eq!(fields.next(), Some(Err(Malformed)));
            assert_eq!(fields.next(), None);
        }
    }
}
