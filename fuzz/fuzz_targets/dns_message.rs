//! Answers of DNS servers: any bytes, and any records behind a header that answers the question.
#![cfg_attr(fuzzing, no_main)]

use libfuzzer_sys::fuzz_target;
use nuncio_upstream::dns::message::{Answer, RecordType, answer, question};

/// A message has no more records of addresses: each takes 16 bytes at least.
const MOST: usize = (1 << 16) / 16;

fuzz_target!(|input: &[u8]| {
    for kind in [RecordType::A, RecordType::Aaaa] {
        let asked = question(7, "a.test", kind, None).expect("a name");
        check(kind, &answer(&asked, input));
        // The input's first byte is the number of records, what follows are they.
        let Some((&count, records)) = input.split_first() else {
            continue;
        };
        let mut message = asked.clone();
        message[2..4].copy_from_slice(&[0x81, 0x80]);
        message[7] = count;
        message.extend(records);
        check(kind, &answer(&asked, &message));
    }
    // What a request names is asked for only if it is a name, and reads back as itself.
    if let Ok(name) = std::str::from_utf8(input)
        && let Some(asked) = question(7, name, RecordType::A, Some(1232))
    {
        let mut nothing = asked.clone();
        nothing[2] = 0x81;
        let none = Answer::Addresses(Vec::new(), None);
        assert_eq!(answer(&asked, &nothing), none, "{name}");
    }
});

fn check(kind: RecordType, found: &Answer) {
    let Answer::Addresses(addresses, ttl) = found else {
        return;
    };
    assert!(addresses.len() <= MOST);
    assert!(ttl.is_none_or(|ttl| ttl.as_secs() <= i32::MAX as u64));
    assert_eq!(ttl.is_none(), addresses.is_empty());
    for (at, ip) in addresses.iter().enumerate() {
        assert_eq!(ip.is_ipv6(), kind == RecordType::Aaaa);
        assert!(!addresses[..at].contains(ip));
    }
}
