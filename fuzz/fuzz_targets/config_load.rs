//! The configuration loader: YAML, JSON and binary protobuf, through decoding, validation and the search for places.

#![cfg_attr(fuzzing, no_main)]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nuncio_config::fuzz_one(data));
