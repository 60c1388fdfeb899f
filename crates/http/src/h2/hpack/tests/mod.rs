//! Tests of both halves together, and with the vectors of RFC 7541.

mod appendix_c;
mod decoding;
mod encoding;
mod round_trip;

use super::{Decoded, Decoder, Error, Limits, Visit};
use crate::HeaderMap;

const NO_LIMITS: Limits = Limits {
    bytes: usize::MAX,
    count: usize::MAX,
};

/// Bytes of a hexadecimal dump, blanks ignored.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter_map(|byte| (byte as char).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn decode_with(
    decoder: &mut Decoder,
    block: &[u8],
    limits: Limits,
) -> Result<(HeaderMap, Decoded), Error> {
    let mut headers = HeaderMap::new();
    let decoded = decoder.decode(block, &mut headers, limits, |_, field| {
        assert_eq!(field.known, crate::Known::from_lower(field.name));
        Visit::Store
    })?;
    Ok((headers, decoded))
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<HeaderMap, Error> {
    decode_with(decoder, block, NO_LIMITS).map(|(headers, _)| headers)
}
