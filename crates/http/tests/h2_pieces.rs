//! However the input of an HTTP/2 connection is cut, the outcome is the same. The seeds of the fuzz targets, and frames
//! made at random.

mod h2_common;

use std::fs;
use std::path::Path;

use h2_common::check;
use nuncio_http::h2::Role;
use proptest::collection::vec;
use proptest::prelude::*;

/// Sizes of pieces.
const SIZES: &[usize] = &[1, 2, 7, 100];

#[test]
fn seeds_of_the_fuzz_targets() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for (folder, role) in [("h2_server", Role::Server), ("h2_client", Role::Client)] {
        let mut count = 0;
        for entry in fs::read_dir(seeds.join(folder)).unwrap() {
            let seed = fs::read(entry.unwrap().path()).unwrap();
            count += usize::from(check(role, &seed, SIZES));
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
        // The highest bit: the rest is a script.
        let input = [&[flags | 0x80, conduct], &script[..]].concat();
        check(role, &input, SIZES);
    }
}
