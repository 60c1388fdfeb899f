//! gRPC on the wire: messages in a body that comes in pieces, `grpc-message`, `grpc-timeout`, paths.
#![cfg_attr(fuzzing, no_main)]

use libfuzzer_sys::fuzz_target;
use nuncio_buffer::Buffer;
use nuncio_http::grpc::{self, FrameCounter, FrameDecoder, FrameError};

/// Larger messages are refused.
const MAX: u32 = 300;

/// What a decoder finds in a body that comes in pieces of this size.
fn decode(body: &[u8], size: usize) -> (Vec<(u8, Vec<u8>)>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(MAX);
    let (mut found, mut message) = (Vec::new(), Buffer::new());
    for piece in body.chunks(size) {
        let mut input = Buffer::from(piece);
        loop {
            match decoder.decode(&mut input, &mut message) {
                Ok(None) => break,
                Ok(Some(header)) => {
                    assert_eq!(header.len as usize, message.len());
                    found.push((header.flags, message.to_vec()));
                    message.clear();
                }
                Err(error) => return (found, Some(error)),
            }
            assert!(message.len() <= MAX as usize);
        }
        assert!(input.is_empty(), "all that is not refused is taken");
    }
    (found, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, body)) = input.split_first() else {
        return;
    };
    let size = usize::from(size).max(1);
    let (found, error) = decode(body, body.len().max(1));
    assert_eq!(decode(body, size), (found.clone(), error));

    let mut whole = FrameCounter::default();
    whole.inspect(body);
    let mut cut = FrameCounter::default();
    let begun: u64 = body.chunks(size).map(|piece| cut.inspect(piece)).sum();
    assert_eq!((cut.count(), begun), (whole.count(), whole.count()));
    assert!(whole.count() >= found.len() as u64);

    let mut encoded = Vec::new();
    grpc::encode_message(body, &mut encoded);
    assert!(encoded.iter().all(|byte| (b' '..b'~').contains(byte)));
    assert_eq!(grpc::decode_message(&encoded), body);
    assert!(grpc::decode_message(body).len() <= body.len());

    if let Some(timeout) = grpc::parse_timeout(body) {
        let written = grpc::format_timeout(timeout);
        let again = grpc::parse_timeout(written.as_bytes()).expect("our own writing");
        assert!(again <= timeout);
    }
    if let Some((service, method)) = grpc::service_and_method(body) {
        assert!(!service.is_empty() && !method.is_empty());
    }
});
