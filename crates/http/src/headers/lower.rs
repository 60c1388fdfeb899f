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

/// Whether `name`, lower-cased, is `lower`. Both have the same length, and `lower` has only letters, digits, `-` and `:`.
#[inline]
pub(super) fn is_lower_of(name: &[u8], lower: &[u8]) -> bool {
    debug_assert_eq!(name.len(), lower.len());
    match (name.first_chunk::<8>(), lower.first_chunk::<8>()) {
        (Some(_), Some(_)) => {
            let (whole, _) = name.as_chunks::<8>();
            let (whole_lower, _) = lower.as_chunks::<8>();
            whole.iter().zip(whole_lower).all(|(a, b)| same8(a, b))
                // The last chunk may overlap the one before it.
                && match (name.last_chunk::<8>(), lower.last_chunk::<8>()) {
                    (Some(a), Some(b)) => same8(a, b),
                    _ => false,
                }
        }
        _ => match (
            name.first_chunk::<4>(),
            lower.first_chunk::<4>(),
            name.last_chunk::<4>(),
            lower.last_chunk::<4>(),
        ) {
            (Some(a), Some(b), Some(c), Some(d)) => same8(&join(a, c), &join(b, d)),
            _ => name.eq_ignore_ascii_case(lower),
        },
    }
}

fn join(first: &[u8; 4], last: &[u8; 4]) -> [u8; 8] {
    let mut both = [0; 8];
    both[..4].copy_from_slice(first);
    both[4..].copy_from_slice(last);
    both
}

/// Eight bytes at once. Setting bit 5 makes letters lower case and leaves digits, `-` and `:` alone; it also maps control
/// bytes to them, so these (no bit of 5 and 6) are ruled out.
#[inline]
fn same8(name: &[u8; 8], lower: &[u8; 8]) -> bool {
    const BIT5: u64 = 0x2020_2020_2020_2020;
    const BIT6: u64 = 0x4040_4040_4040_4040;
    let name = u64::from_le_bytes(*name);
    name | BIT5 == u64::from_le_bytes(*lower) && (name | name << 1) & BIT6 == BIT6
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

    #[test]
    fn names_are_compared_whatever_their_case() {
        for lower in [
            "te",
            "via",
            "host",
            "cookie",
            "upgrade",
            "location",
            "x-request-id",
            "content-encoding",
        ] {
            let upper = lower.to_ascii_uppercase();
            assert!(is_lower_of(upper.as_bytes(), lower.as_bytes()));
            for at in 0..lower.len() {
                for byte in 0..=255 {
                    let mut name = lower.as_bytes().to_vec();
                    name[at] = byte;
                    let expected = name.eq_ignore_ascii_case(lower.as_bytes());
                    assert_eq!(is_lower_of(&name, lower.as_bytes()), expected, "{name:?}");
                }
            }
        }
    }
}
