//! The client side of an HTTP/2 connection on any bytes, or on frames that any bytes describe: no panic, bounded memory,
//! and the same outcome however the input is cut.
#![cfg_attr(fuzzing, no_main)]

#[path = "../../crates/http/tests/h2_common/mod.rs"]
mod h2_common;

use h2_common::{Conduct, frames, settings, transcribe};
use libfuzzer_sys::fuzz_target;
use nuncio_http::h2::Role;

fuzz_target!(|input: &[u8]| {
    let [flags, conduct, script @ ..] = input else {
        return;
    };
    let bytes = if flags & 0x80 == 0 {
        script.to_vec()
    } else {
        frames(script)
    };
    let settings = settings(*flags);
    let conduct = Conduct::from_bits(*conduct);
    let whole = transcribe(Role::Client, &settings, conduct, [&bytes[..]]);
    for size in [1, 7] {
        let cut = transcribe(Role::Client, &settings, conduct, bytes.chunks(size));
        assert_eq!(whole, cut);
    }
});
