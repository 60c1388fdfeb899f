//! What hosts answer to calls of the main thread: load reports, out of band and in headers, and gRPC health checks.

#![cfg_attr(fuzzing, no_main)]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| nuncio_upstream::orca::fuzz_one(data));
