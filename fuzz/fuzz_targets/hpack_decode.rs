//! The HPACK decoder on any bytes: no panic, limits kept, and a table that stays in step whether or not a limit cut the
//! headers off.
#![cfg_attr(fuzzing, no_main)]

use libfuzzer_sys::fuzz_target;
use nuncio_http::HeaderMap;
use nuncio_http::h2::hpack::{Decoder, Limits, Visit};

const TIGHT: Limits = Limits {
    bytes: 100,
    count: 3,
};

const WIDE: Limits = Limits {
    bytes: 60 << 10,
    count: 100,
};

// Blocks, each behind its length; an empty one stands for a change of the table's limit.
fuzz_target!(|input: &[u8]| {
    let (mut wide, mut tight) = (Decoder::new(), Decoder::new());
    let (mut all, mut some) = (HeaderMap::new(), HeaderMap::new());
    let mut rest = input;
    while let [length, tail @ ..] = rest {
        let (block, after) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = after;
        if block.is_empty() {
            let limit = u32::from(rest.first().copied().unwrap_or(0)) * 32;
            wide.set_limit(limit);
            tight.set_limit(limit);
            continue;
        }
        all.clear();
        some.clear();
        let visited = wide.decode(block, &mut all, WIDE, |_, _| Visit::Store);
        let cut = tight.decode(block, &mut some, TIGHT, |_, _| Visit::Store);
        match (visited, cut) {
            (Ok(_), Ok(_)) => {}
            (Err(error), Err(other)) => {
                assert_eq!(error, other);
                return;
            }
            differing => panic!("{differing:?}"),
        }
        assert!(all.byte_size() <= WIDE.bytes && all.len() <= WIDE.count);
        assert!(some.byte_size() <= TIGHT.bytes && some.len() <= TIGHT.count);
        assert!(all.iter().take(some.len()).eq(some.iter()));
    }
});
