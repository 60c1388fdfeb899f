use proptest::prelude::*;

use super::*;

fn asked(name: &str, kind: RecordType) -> Vec<u8> {
    question(7, name, kind, None).unwrap()
}

/// An answer to `question` with these flags and records, whose names are pointers to the question unless given.
fn answered(question: &[u8], flags: [u8; 2], records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&flags);
    message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    for (owner, kind, ttl, data) in records {
        message.extend(*owner);
        message.extend(kind.to_be_bytes());
        message.extend(1u16.to_be_bytes());
        message.extend(ttl.to_be_bytes());
        message.extend((data.len() as u16).to_be_bytes());
        message.extend(*data);
    }
    message
}

const SELF: &[u8] = &[0xc0, 12];
const OK: [u8; 2] = [0x81, 0x80];

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_question_is_what_c_ares_sends() {
    let message = asked("a.Test.", RecordType::Aaaa);
    let wanted = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\x04Test\0\0\x1c\0\x01";
    assert_eq!(message, wanted);
    let edns = question(7, "a", RecordType::A, Some(1232)).unwrap();
    assert_eq!(edns[11], 1);
    assert!(edns.ends_with(b"\0\0\x29\x04\xd0\0\0\0\0\0\0"));
    for wrong in ["", ".", "a..b", &"x".repeat(64), &"abc.".repeat(70)] {
        assert!(question(7, wrong, RecordType::A, None).is_none(), "{wrong}");
    }
}

#[test]
fn the_least_ttl_counts_and_aliases_are_followed() {
    let q = asked("a.test", RecordType::A);
    let records: &[(&[u8], u16, u32, &[u8])] = &[
        (b"\x01b\0", 1, 30, &[10, 0, 0, 1]),
        (b"\x01b\0", 1, 20, &[10, 0, 0, 2]),
        (b"\x01b\0", 1, 20, &[10, 0, 0, 2]),
        (b"\x01c\0", 1, 1, &[10, 0, 0, 3]),
        (SELF, 5, 25, b"\x01B\0"),
        (SELF, 16, 1, b"text"),
    ];
    assert_eq!(
        answer(&q, &answered(&q, OK, records)),
        Answer::Addresses(
            ips(&["10.0.0.1", "10.0.0.2"]),
            Some(Duration::from_secs(20))
        )
    );
    let forever: &[(&[u8], u16, u32, &[u8])] = &[(SELF, 1, 1 << 31, &[10, 0, 0, 1])];
    assert_eq!(
        answer(&q, &answered(&q, OK, forever)),
        Answer::Addresses(ips(&["10.0.0.1"]), Some(Duration::ZERO))
    );
    // An alias of itself leads nowhere, and ends.
    let circle: &[(&[u8], u16, u32, &[u8])] = &[(SELF, 5, 25, SELF), (SELF, 5, 25, SELF)];
    assert_eq!(
        answer(&q, &answered(&q, OK, circle)),
        Answer::Addresses(Vec::new(), None)
    );
}

#[test]
fn other_answers() {
    let q = asked("a.test", RecordType::Aaaa);
    let v6 = [0; 16];
    let records: &[(&[u8], u16, u32, &[u8])] = &[(SELF, 28, 9, &v6)];
    assert_eq!(
        answer(&q, &answered(&q, OK, records)),
        Answer::Addresses(ips(&["::"]), Some(Duration::from_secs(9)))
    );
    let none = Answer::Addresses(Vec::new(), None);
    for (flags, wanted) in [
        (OK, &none),
        ([0x81, 0x83], &none),
        ([0x83, 0x80], &Answer::Truncated),
        ([0x81, 0x82], &Answer::Refused(2)),
        ([0x81, 0x81], &Answer::Refused(FORMAT_ERROR)),
        ([0x01, 0x80], &Answer::Foreign),
    ] {
        assert_eq!(&answer(&q, &answered(&q, flags, &[])), wanted);
    }
    let mut other = answered(&q, OK, &[]);
    other[1] = 8;
    assert_eq!(answer(&q, &other), Answer::Foreign, "another id");
    let other = asked("b.test", RecordType::Aaaa);
    assert_eq!(answer(&q, &answered(&other, OK, &[])), Answer::Foreign);
    let other = asked("a.test", RecordType::A);
    assert_eq!(answer(&q, &answered(&other, OK, &[])), Answer::Foreign);
    let short: &[(&[u8], u16, u32, &[u8])] = &[(SELF, 28, 9, &[0; 15])];
    assert_eq!(answer(&q, &answered(&q, OK, short)), Answer::Malformed);
    let forward: &[(&[u8], u16, u32, &[u8])] = &[(&[0xc0, 0xff], 28, 9, &v6)];
    assert_eq!(answer(&q, &answered(&q, OK, forward)), Answer::Malformed);
    assert_eq!(answer(&q, b"\0\x07\x81"), Answer::Malformed);
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let q = asked("a.test", RecordType::A);
        answer(&q, &bytes);
    }

    #[test]
    fn no_change_of_an_answer_is_a_panic(at in 0usize..80, byte: u8, cut in 0usize..80) {
        let q = asked("a.test", RecordType::A);
        let records: &[(&[u8], u16, u32, &[u8])] =
            &[(SELF, 5, 25, b"\x01b\0"), (b"\x01b\xc0\x0c", 1, 30, &[10, 0, 0, 1])];
        let mut message = answered(&q, OK, records);
        let at = at % message.len();
        message[at] = byte;
        answer(&q, &message);
        message.truncate(cut);
        answer(&q, &message);
    }
}

#[test]
fn names_that_jump_and_jump_again_end() {
    let q = asked("a.test", RecordType::A);
    // A chain of pointers, each to the one before it, in the data of a record that nobody wants.
    let mut chain = vec![0xc0, 12];
    let start = q.len() + 12;
    for at in 0..8000 {
        let to = (start + 2 * at) as u16 | 0xc000;
        chain.extend(to.to_be_bytes());
    }
    let last = (start + chain.len() - 2) as u16 | 0xc000;
    let last = last.to_be_bytes();
    let many: Vec<(&[u8], u16, u32, &[u8])> = vec![
        (SELF, 16, 9, &chain),
        (&last, 1, 9, &[10, 0, 0, 1]),
        (SELF, 1, 9, &[10, 0, 0, 2]),
    ];
    assert_eq!(answer(&q, &answered(&q, OK, &many)), Answer::Malformed);
    let itself = ((q.len() as u16) | 0xc000).to_be_bytes();
    let looped: &[(&[u8], u16, u32, &[u8])] = &[(&itself, 1, 9, &[10, 0, 0, 1])];
    assert_eq!(answer(&q, &answered(&q, OK, looped)), Answer::Malformed);
    // Labels without end would be too long a name.
    let long = [[63; 64].as_slice(), &[b'x'; 64]].concat().repeat(4);
    let long: &[(&[u8], u16, u32, &[u8])] = &[(&long, 1, 9, &[10, 0, 0, 1])];
    assert_eq!(answer(&q, &answered(&q, OK, long)), Answer::Malformed);
}

#[test]
fn the_largest_answer_is_read() {
    let q = asked("a.test", RecordType::A);
    let addresses: Vec<[u8; 4]> = (0u32..4093).map(u32::to_be_bytes).collect();
    let records: Vec<(&[u8], u16, u32, &[u8])> = addresses
        .iter()
        .map(|ip| (SELF, 1, 9, ip.as_slice()))
        .collect();
    let message = answered(&q, OK, &records);
    assert!(message.len() <= 65_535);
    let Answer::Addresses(found, _) = answer(&q, &message) else {
        panic!("it is whole");
    };
    assert_eq!(found.len(), 4093);
    // One record less than the header says.
    let cut = &message[..message.len() - 16];
    assert_eq!(answer(&q, cut), Answer::Malformed);
}

#[test]
fn aliases_lead_so_far() {
    let name = |n: usize| format!("\x03n{n:02}\0").into_bytes();
    let q = asked("n00", RecordType::A);
    for (steps, found) in [(1, true), (MAX_ALIASES, true), (MAX_ALIASES + 1, false)] {
        let names: Vec<_> = (0..=steps).map(name).collect();
        let aliases = names.windows(2);
        let mut records: Vec<(&[u8], u16, u32, &[u8])> = aliases
            .map(|pair| (pair[0].as_slice(), 5, 30, pair[1].as_slice()))
            .collect();
        records.push((&names[steps], 1, 7, &[10, 0, 0, 1]));
        let Answer::Addresses(ips, ttl) = answer(&q, &answered(&q, OK, &records)) else {
            panic!("{steps}: it is whole");
        };
        assert_eq!(!ips.is_empty(), found, "{steps}");
        assert_eq!(ttl, found.then_some(Duration::from_secs(7)), "{steps}");
    }
}
