//! Encoding.

use super::code::CODES;

/// Length of `text` when encoded, in bytes.
#[inline]
pub(in super::super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text
        .iter()
        .map(|&byte| usize::from(CODES[usize::from(byte)].len))
        .sum();
    bits.div_ceil(8)
}

/// Appends the code of `text`.
pub(in super::super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    // Less than 32 bits wait between steps, and a code has at most 30.
    let mut pending = 0_u64;
    let mut bits = 0;
    for &byte in text {
        let code = CODES[usize::from(byte)];
        pending = pending << code.len | u64::from(code.bits);
        bits += u32::from(code.len);
        if bits >= 32 {
            bits -= 32;
            out.extend_from_slice(&((pending >> bits) as u32).to_be_bytes());
        }
    }
    if bits > 0 {
        // The rest is padded with ones, the beginning of EOS.
        let padded = pending << (32 - bits) | u64::from(u32::MAX >> bits);
        let rest = (padded as u32).to_be_bytes();
        out.extend_from_slice(&rest[..bits.div_ceil(8) as usize]);
    }
}
