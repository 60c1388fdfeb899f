//! The HTTP/1 server decoder: no panic, and the same outcome however the input is cut.
#![cfg_attr(fuzzing, no_main)]

#[path = "../../crates/http/tests/common/mod.rs"]
mod common;

use common::{requests, requests_in_pieces};
use libfuzzer_sys::fuzz_target;
use nuncio_http::h1::H1Settings;

fuzz_target!(|input: &[u8]| {
    let Some((&flags, bytes)) = input.split_first() else {
        return;
    };
    let settings = || H1Settings {
        enable_trailers: flags & 1 != 0,
        accept_http_10: flags & 2 != 0,
        allow_chunked_length: flags & 4 != 0,
        allow_custom_methods: flags & 8 != 0,
        max_head_bytes: if flags & 16 != 0 { 64 } else { 60 * 1024 },
        max_headers: if flags & 32 != 0 { 2 } else { 100 },
        ..H1Settings::default()
    };
    let whole = requests(bytes, settings());
    assert_eq!(whole, requests_in_pieces(bytes.chunks(1), settings()));
    assert_eq!(whole, requests_in_pieces(bytes.chunks(7), settings()));
});
