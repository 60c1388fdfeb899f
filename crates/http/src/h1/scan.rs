//! Finds the first byte of a kind, eight bytes at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// The first byte from `at` on that is neither a space nor a visible ASCII character; the input's length if there is none.
#[inline]
pub(super) fn end_of_text(input: &[u8], at: usize) -> usize {
    find(input, at, |word| outside(word, b' '))
}

/// The first byte from `at` on that is no visible ASCII character; the input's length if there is none.
#[inline]
pub(super) fn end_of_visible(input: &[u8], at: usize) -> usize {
    find(input, at, |word| outside(word, b'!'))
}

/// The first colon from `at` on; the input's length if there is none.
#[inline]
pub(super) fn find_colon(input: &[u8], at: usize) -> usize {
    find(input, at, |word| {
        let zero = word ^ (u64::from(b':') * ONES);
        zero.wrapping_sub(ONES) & !zero & HIGH
    })
}

/// The high bits of bytes that are not from `first` to `~`. Above the lowest such byte, the others' bits mean nothing: it
/// may borrow from them, or carry into them.
#[inline]
const fn outside(word: u64, first: u8) -> u64 {
    let less = word.wrapping_sub(first as u64 * ONES);
    let delete = word.wrapping_add(ONES);
    (less | delete | word) & HIGH
}

/// `marks_of` sets the high bit of the lowest byte that is wanted. Inputs of less than eight bytes are not searched.
#[inline]
fn find(input: &[u8], mut at: usize, marks_of: impl Fn(u64) -> u64) -> usize {
    while let Some(chunk) = input.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = marks_of(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    match (input.last_chunk(), input.len().saturating_sub(at)) {
        (Some(chunk), left @ 1..) => {
            // The bytes that are left, and zeros behind them.
            let marks = marks_of(u64::from_le_bytes(*chunk) >> (8 * (8 - left)));
            let found = at + (marks.trailing_zeros() / 8) as usize;
            found.min(input.len())
        }
        _ => input.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_of_a_kind_is_found_at_all_places() {
        for byte in 0..=255_u8 {
            for len in [8, 11, 24] {
                for at in 0..len {
                    for behind in [b'a', 0, 0x7f, 0xff, byte] {
                        let mut text = vec![b'a'; len];
                        text[at..].fill(behind);
                        text[at] = byte;
                        for from in [0, at / 2, at] {
                            let expected = |wanted: &dyn Fn(u8) -> bool| {
                                let found = text[from..].iter().position(|&byte| wanted(byte));
                                found.map_or(len, |found| from + found)
                            };
                            let of_text = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
                            assert_eq!(end_of_text(&text, from), expected(&|byte| !of_text(byte)));
                            assert_eq!(
                                end_of_visible(&text, from),
                                expected(&|byte| !byte.is_ascii_graphic())
                            );
                            assert_eq!(find_colon(&text, from), expected(&|byte| byte == b':'));
                        }
                    }
                }
            }
        }
        assert_eq!(find_colon(b"", 0), 0);
        assert_eq!(find_colon(b":", 0), 1, "too short to be searched");
        assert_eq!(find_colon(&[b'a'; 32], 32), 32);
    }
}
