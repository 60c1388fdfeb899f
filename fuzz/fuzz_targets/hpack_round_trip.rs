//! HPACK both ways: what the encoder writes, the decoder reads, whatever the headers and the table sizes.
#![cfg_attr(fuzzing, no_main)]

use libfuzzer_sys::fuzz_target;
use nuncio_buffer::Buffer;
use nuncio_http::h2::hpack::{Decoder, Encoder, Limits, Visit};
use nuncio_http::{HeaderMap, Known};

const LIMITS: Limits = Limits {
    bytes: usize::MAX,
    count: usize::MAX,
};

/// Takes a byte and as many bytes as it says.
fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&length, tail) = rest.split_first()?;
    let (piece, after) = tail.split_at(usize::from(length).min(tail.len()));
    *rest = after;
    Some(piece)
}

/// Adds a header that the next bytes describe. False when the block is complete.
fn add_header(rest: &mut &[u8], headers: &mut HeaderMap) -> bool {
    let Some((&number, tail)) = rest.split_first() else {
        return false;
    };
    *rest = tail;
    if number == 0xff {
        return false;
    }
    // The known names have numbers; a higher one stands for a name in the input.
    let known = Known::ALL.get(usize::from(number));
    let Some(name) = known.map_or_else(|| piece(rest), |known| Some(known.as_bytes())) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    if name != b":reason-phrase" {
        headers.append(name.as_slice(), piece(rest).unwrap_or_default());
    }
    true
}

fuzz_target!(|input: &[u8]| {
    let Some((cap, mut rest)) = input.split_first() else {
        return;
    };
    let (mut encoder, mut decoder) = (Encoder::new(u32::from(*cap) * 32), Decoder::new());
    encoder.set_huffman(cap & 1 == 0);
    while let [control, tail @ ..] = rest {
        rest = tail;
        if control & 1 != 0 {
            let limit = u32::from(*control) * 32;
            encoder.set_peer_limit(limit);
            decoder.set_limit(limit);
        }
        let mut headers = HeaderMap::new();
        while add_header(&mut rest, &mut headers) {}
        let mut block = Buffer::new();
        encoder.encode(&headers, |_, _| true, &mut block);
        let mut decoded = HeaderMap::new();
        decoder
            .decode(&block, &mut decoded, LIMITS, |_, _| Visit::Store)
            .expect("our own encoding");
        let pseudo = |wanted: bool| {
            headers
                .iter_known()
                .filter(move |(known, ..)| known.is_some_and(Known::is_pseudo) == wanted)
                .map(|(_, name, value)| (name, value))
        };
        assert!(decoded.iter().eq(pseudo(true).chain(pseudo(false))));
    }
});
