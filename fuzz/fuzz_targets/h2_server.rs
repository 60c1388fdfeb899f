//! The server side of an HTTP/2 connection on any bytes, or on frames that any bytes describe: no panic, bounded memory,
//! and the same outcome however the input is cut.
#![cfg_attr(fuzzing, no_main)]

#[path = "../../crates/http/tests/h2_common/mod.rs"]
mod h2_common;

use libfuzzer_sys::fuzz_target;
use nuncio_http::h2::Role;

fuzz_target!(|input: &[u8]| {
    h2_common::check(Role::Server, input, &[1, 7]);
});
