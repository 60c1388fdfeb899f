//! Decoding.

use super::super::Error;
use super::code::{EOS, MIN_BITS, SHORT, SHORT_BITS, long_symbol};

/// Codes that are taken between two looks at the input: they fit in what a refill leaves at least.
const PER_REFILL: usize = 56 / SHORT_BITS;

/// The most bytes that `len` encoded bytes can become.
#[inline]
pub(in super::super) fn decoded_bound(len: usize) -> usize {
    len * 8 / MIN_BITS
}

/// Bits yet to be decoded, at the left of a word. Behind them is 0, or the bits that come next: a refill may or them in again.
struct Bits<'a> {
    word: u64,
    count: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    /// Fills the word to at least 56 bits. `false` when too few bytes are left for that.
    #[inline]
    fn refill(&mut self) -> bool {
        let Some(next) = self.rest.first_chunk::<8>() else {
            return false;
        };
        self.word |= u64::from_be_bytes(*next) >> self.count;
        let taken = (63 - self.count) / 8;
        self.rest = &self.rest[taken as usize..];
        self.count += taken * 8;
        true
    }

    /// All that is left, at the left of a word that holds it: less than 64 bits and less than eight bytes. Ones follow, as
    /// in valid padding.
    #[inline]
    fn last(&self) -> u128 {
        let mut tail = 0_u64;
        for &byte in self.rest {
            tail = tail << 8 | u64::from(byte);
        }
        let left = self.left();
        let tail = u128::from(tail) << 1 << (127 - left);
        u128::from(self.word) << 64 | tail | u128::MAX >> left
    }

    /// Number of bits that are left.
    #[inline]
    fn left(&self) -> u32 {
        self.count + 8 * self.rest.len() as u32
    }

    #[inline]
    fn drop(&mut self, n: u32) {
        self.word <<= n;
        self.count -= n;
    }
}

/// Decodes `coded` and appends the text to `out`, whose length it returns. On an error `out` may have got part of it.
pub(in super::super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
    let start = out.len();
    out.resize(start + decoded_bound(coded.len()), 0);
    let len = decode_into(coded, &mut out[start..])?;
    out.truncate(start + len);
    Ok(len)
}

/// `out` has room for [`decoded_bound`] bytes.
fn decode_into(coded: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let mut bits = Bits {
        word: 0,
        count: 0,
        rest: coded,
    };
    let mut len = 0;
    'refill: while bits.refill() {
        let Some(room) = out.get_mut(len..len + PER_REFILL) else {
            break;
        };
        for place in room {
            let short = SHORT[(bits.word >> (64 - SHORT_BITS)) as usize];
            if short == 0 {
                let (symbol, n) = long_symbol((bits.word >> 32) as u32);
                if n > bits.count {
                    continue 'refill;
                }
                if symbol == EOS {
                    return Err(Error::HuffmanEos);
                }
                *place = symbol as u8;
                len += 1;
                bits.drop(n);
                continue 'refill;
            }
            *place = short as u8;
            len += 1;
            bits.drop(u32::from(short >> 8));
        }
    }
    decode_end(&bits, len, out)
}

/// Decodes the last bytes and checks the padding.
fn decode_end(bits: &Bits<'_>, mut len: usize, out: &mut [u8]) -> Result<usize, Error> {
    let mut left = bits.left();
    let mut all = bits.last();
    loop {
        let word = (all >> 64) as u64;
        // Padding: the ones that are left, and those that were put behind them.
        if left < 8 && word >> 56 == 0xff {
            return Ok(len);
        }
        let short = SHORT[(word >> (64 - SHORT_BITS)) as usize];
        let (symbol, n) = if short == 0 {
            long_symbol((word >> 32) as u32)
        } else {
            (short & 0xff, u32::from(short >> 8))
        };
        if n > left {
            return Err(Error::HuffmanPadding);
        }
        if symbol == EOS {
            return Err(Error::HuffmanEos);
        }
        if let Some(place) = out.get_mut(len) {
            *place = symbol as u8;
        }
        len += 1;
        left -= n;
        all <<= n;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{encode, encoded_len};
    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = b"before".to_vec();
        let len = decode(coded, &mut out)?;
        assert_eq!(&out[..6], b"before");
        assert_eq!(len, out.len() - 6);
        Ok(out.split_off(6))
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut seed = 7_u32;
        for len in 0..600_usize {
            for mask in [0x0f, 0x7f, 0xff] {
                let text: Vec<u8> = (0..len)
                    .map(|_| {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (seed >> 24) as u8 & mask | if mask == 0x0f { b'0' } else { 0 }
                    })
                    .collect();
                let mut coded = Vec::new();
                encode(&text, &mut coded);
                assert_eq!(coded.len(), encoded_len(&text));
                assert_eq!(decoded(&coded), Ok(text));
            }
        }
    }

    #[test]
    fn rfc7541_5_2_padding() {
        assert_eq!(decoded(b""), Ok(vec![]));
        // `0` is 00000, then three ones.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
        assert_eq!(decoded(&[0b0000_0110]), Err(Error::HuffmanPadding));
        assert_eq!(decoded(&[0b0000_0000]), Err(Error::HuffmanPadding));
        assert_eq!(decoded(&[0b0000_0111, 0xff]), Err(Error::HuffmanPadding));
        assert_eq!(decoded(&[0xff]), Err(Error::HuffmanPadding));
        // A code that is cut short.
        assert_eq!(decoded(&[0xff, 0xfe]), Err(Error::HuffmanPadding));
    }

    #[test]
    fn rfc7541_5_2_eos_is_an_error() {
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(Error::HuffmanEos));
        let mut long = vec![0; 5];
        long.extend([0xff; 20]);
        assert_eq!(decoded(&long), Err(Error::HuffmanEos));
    }
}
