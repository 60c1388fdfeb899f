//! However the input of an HTTP/2 connection is cut, the outcome is the same. The seeds of the fuzz targets, and frames made at random.

mod h2_common;

use std::fs;
use std::path::Path;

use h2_common::{Conduct, frames, settings, transcribe};
use nuncio_http::h2::Role;
use proptest::collection::vec;
use proptest::prelude::*;

fn check(role: Role, flags: u8, conduct: u8, bytes: &[u8]) {
    let settings = settings(flags);
    let conduct = Conduct::from_bits(conduct);
    let whole = transcribe(role, &settings, conduct, [bytes]);
    for size in [1, 2, 7, 100] {
        let cut = transcribe(role, &settings, conduct, bytes.chunks(size));
        assert_eq!(whole, cut, "{size}");
    }
}

#[test]
fn seeds_of_the_fuzz_targets() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for (folder, role) in [("h2_server", Role::Server), ("h2_client", Role::Client)] {
        let mut count = 0;
        for entry in fs::read_dir(seeds.join(folder)).unwrap() {
            let seed = fs::read(entry.unwrap().path()).unwrap();
            let [flags, conduct, script @ ..] = &seed[..] else {
                continue;
            };
            count += 1;
            if flags & 0x80 == 0 {
                check(role, *flags, *conduct, script);
            } else {
                check(role, *flags, *conduct, &frames(script));
            }
        }
        assert!(count > 10);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn random_frames(
        flags: u8,
        conduct: u8,
        script in vec(any::<u8>(), 0..300),
        is_server: bool,
    ) {
        let role = if is_server { Role::Server } else { Role::Client };
        check(role, flags, conduct, &frames(&script));
    }
}
