//! The HTTP/1 client decoder: no panic, and the same outcome however the input is cut.
#![cfg_attr(fuzzing, no_main)]

#[path = "../../crates/http/tests/common/mod.rs"]
mod common;

use common::{responses, responses_in_pieces};
use libfuzzer_sys::fuzz_target;
use nuncio_http::h1::{H1Settings, RequestKind};

fuzz_target!(|input: &[u8]| {
    let Some((&flags, bytes)) = input.split_first() else {
        return;
    };
    let settings = || H1Settings {
        enable_trailers: flags & 1 != 0,
        allow_chunked_length: flags & 2 != 0,
        max_head_bytes: if flags & 4 != 0 { 64 } else { 60 * 1024 },
        max_headers: if flags & 8 != 0 { 2 } else { 100 },
        ..H1Settings::default()
    };
    let kind = RequestKind {
        is_head: flags >> 6 == 1,
        is_connect: flags >> 6 == 2,
        is_upgrade: flags >> 6 == 3,
    };
    let whole = responses(bytes, kind, settings());
    assert_eq!(
        whole,
        responses_in_pieces(bytes.chunks(1), kind, settings())
    );
    assert_eq!(
        whole,
        responses_in_pieces(bytes.chunks(7), kind, settings())
    );
});
