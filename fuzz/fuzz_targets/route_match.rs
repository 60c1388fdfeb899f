//! The route matcher: no panic, and the index finds what trying all routes in order finds.
#![cfg_attr(fuzzing, no_main)]

#[path = "../../crates/route/tests/common/mod.rs"]
mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| common::fuzz::route_match(input));
