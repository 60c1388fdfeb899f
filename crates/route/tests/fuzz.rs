//! The fuzz target's function on random requests, so that it stays true between fuzzing runs.

mod common;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests(
        method in "(GET|CONNECT)",
        host in "(www\\.|x\\.)?(example\\.com|h)(:80)?",
        path in "/(exact|prefix|separated|regex|users|p1|Folded|any|[a-z0-9/]{0,6}){0,2}(/[a-z0-9./]{0,8})?(;p)?(\\?q)?",
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut input = format!("{method}\n{host}\n{path}\n1\n").into_bytes();
        input.extend(rest);
        common::fuzz::route_match(&input);
    }

    #[test]
    fn garbage(input in prop::collection::vec(any::<u8>(), 0..200)) {
        common::fuzz::route_match(&input);
    }
}
