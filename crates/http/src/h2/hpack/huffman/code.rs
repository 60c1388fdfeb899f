//! The code, and the tables for both directions, all computed from the lengths: the code is canonical.

/// Symbols: the bytes and EOS.
const SYMBOLS: usize = 257;

/// The symbol that ends nothing and must not occur.
pub(super) const EOS: u16 = 256;

/// Length of the longest code, in bits.
pub(super) const MAX_BITS: usize = 30;

/// Length of the shortest code, in bits.
pub(super) const MIN_BITS: usize = 5;

/// Bits by which [`SHORT`] is indexed: nearly all of what headers consist of has shorter codes.
pub(super) const SHORT_BITS: usize = 10;

/// Length of each symbol's code, in bits.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

/// The code of one symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    /// The code, in the low bits.
    pub(super) bits: u32,
    /// Its length in bits.
    pub(super) len: u8,
}

/// The codes of one length, for what [`SHORT`] does not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long {
    /// The first 32-bit word, read from the left, that begins with a longer code.
    pub(super) limit: u64,
    /// The first code of this length.
    first: u32,
    /// The place of its symbol in [`SORTED`].
    offset: u16,
}

/// Everything that follows from the lengths.
struct Tables {
    codes: [Code; SYMBOLS],
    sorted: [u16; SYMBOLS],
    long: [Long; MAX_BITS + 1],
    short: [u16; 1 << SHORT_BITS],
}

const TABLES: Tables = build();

const fn build() -> Tables {
    let mut tables = Tables {
        codes: [Code { bits: 0, len: 0 }; SYMBOLS],
        sorted: [0; SYMBOLS],
        long: [Long {
            limit: 0,
            first: 0,
            offset: 0,
        }; MAX_BITS + 1],
        short: [0; 1 << SHORT_BITS],
    };
    // Codes are numbered by length, and within a length by symbol.
    let mut next = 0_u32;
    let mut placed = 0;
    let mut len = 1;
    while len <= MAX_BITS {
        next <<= 1;
        tables.long[len].first = next;
        tables.long[len].offset = placed as u16;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == len {
                tables.codes[symbol] = Code {
                    bits: next,
                    len: len as u8,
                };
                tables.sorted[placed] = symbol as u16;
                if len <= SHORT_BITS {
                    let shift = SHORT_BITS - len;
                    let mut at = (next as usize) << shift;
                    while at < (next as usize + 1) << shift {
                        tables.short[at] = (len as u16) << 8 | symbol as u16;
                        at += 1;
                    }
                }
                next += 1;
                placed += 1;
            }
            symbol += 1;
        }
        tables.long[len].limit = (next as u64) << (32 - len);
        len += 1;
    }
    tables
}

/// The code of each byte.
pub(super) static CODES: [Code; SYMBOLS] = TABLES.codes;

/// For each ten bits, the length (above the low byte) and the byte whose code they begin with; 0 for longer codes.
pub(super) static SHORT: [u16; 1 << SHORT_BITS] = TABLES.short;

static LONG: [Long; MAX_BITS + 1] = TABLES.long;

static SORTED: [u16; SYMBOLS] = TABLES.sorted;

/// The symbol whose code `word` begins with, and the code's length, for codes that [`SHORT`] does not have.
#[cold]
#[inline(never)]
pub(super) fn long_symbol(word: u32) -> (u16, u32) {
    let mut len = SHORT_BITS + 1;
    while len < MAX_BITS && u64::from(word) >= LONG[len].limit {
        len += 1;
    }
    let Long { first, offset, .. } = LONG[len];
    let at = usize::from(offset) + ((word >> (32 - len)) - first) as usize;
    (SORTED.get(at).copied().unwrap_or(EOS), len as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7541_appendix_b_samples() {
        for (symbol, bits, len) in [
            (0_usize, 0x1ff8, 13),
            (10, 0x3fff_fffc, 30),
            (32, 0x14, 6),
            (48, 0x0, 5),
            (92, 0x7_fff0, 19),
            (122, 0x7b, 7),
            (127, 0xfff_fffc, 28),
            (192, 0x3ff_ffe0, 26),
            (249, 0xfff_fffe, 28),
            (255, 0x3ff_ffee, 26),
            (256, 0x3fff_ffff, 30),
        ] {
            assert_eq!(
                (CODES[symbol].bits, CODES[symbol].len),
                (bits, len),
                "{symbol}"
            );
        }
    }

    #[test]
    fn every_symbol_is_found_by_its_code() {
        for (symbol, code) in (0_u16..).zip(CODES) {
            for padding in [0, u32::MAX] {
                let shift = 32 - u32::from(code.len);
                let word = code.bits << shift | padding & ((1 << shift) - 1);
                let short = SHORT[word as usize >> (32 - SHORT_BITS)];
                if usize::from(code.len) <= SHORT_BITS {
                    assert_eq!(short, u16::from(code.len) << 8 | symbol);
                } else {
                    assert_eq!(short, 0);
                    assert_eq!(long_symbol(word), (symbol, code.len.into()));
                }
            }
        }
    }
}
