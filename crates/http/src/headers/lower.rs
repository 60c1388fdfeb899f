//! Lower-casing header names, eight bytes at a time.
//!
//! Names are short: the vectorised loop that a compiler makes of `make_ascii_lowercase` spends most of its time
//! in its byte-by-byte tail.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// ASCII letters of `bytes` to lower case, in place.
#[inline]
pub(super) fn make_lower(bytes: &mut [u8]) {
    match bytes.len() {
        0..4 => bytes.make_ascii_lowercase(),
        4..8 => {
            // The two halves overlap; lower-casing twice is the same.
            if let Some(first) = bytes.first_chunk_mut::<4>() {
                lower4(first);
            }
            if let Some(last) = bytes.last_chunk_mut::<4>() {
                lower4(last);
            }
        }
        _ => {
            bytes.as_chunks_mut::<8>().0.iter_mut().for_each(lower8);
            if let Some(last) = bytes.last_chunk_mut::<8>() {
                lower8(last);
            }
        }
    }
}

#[inline]
fn lower8(chunk: &mut [u8; 8]) {
    *chunk = lower(u64::from_le_bytes(*chunk)).to_le_bytes();
}

#[inline]
fn lower4(chunk: &mut [u8; 4]) {
    *chunk = (lower(u32::from_le_bytes(*chunk).into()) as u32).to_le_bytes();
}

#[inline]
fn lower(bytes: u64) -> u64 {
    // Without their high bits no sum of bytes carries into the next byte; the high bit of
    // a sum then tells whether the byte was at least the bound.
    let low = bytes & !HIGH;
    let from_a = low + (0x80 - u64::from(b'A')) * ONES;
    let above_z = low + (0x7f - u64::from(b'Z')) * ONES;
    let upper = from_a & !above_z & !bytes & HIGH;
    bytes | upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_at_all_places() {
        for byte in 0..=255_u8 {
            for len in 0..20 {
                for at in 0..len {
                    let mut text = vec![b'Q'; len];
                    text[at] = byte;
                    let expected = text.to_ascii_lowercase();
                    make_lower(&mut text);
                    assert_eq!(text, expected);
                }
            }
        }
    }
}
