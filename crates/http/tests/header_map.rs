//! The header map beside a plain list of pairs.

use nuncio_http::{HeaderMap, Known};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Change {
    Append(&'static str, Vec<u8>),
    Set(&'static str, Vec<u8>),
    Join(&'static str, Vec<u8>),
    Spelt(&'static str, Vec<u8>),
    Remove(&'static str),
    RetainShort,
    Clear,
}

fn change() -> impl Strategy<Value = Change> {
    let name = || {
        proptest::sample::select(
            &[
                "accept",
                "x-a",
                "x-b",
                ":path",
                "cookie",
                "a-rather-long-name-that-nobody-knows",
            ][..],
        )
    };
    let value = || proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        4 => (name(), value()).prop_map(|(name, value)| Change::Append(name, value)),
        4 => (name(), value()).prop_map(|(name, value)| Change::Set(name, value)),
        2 => (name(), value()).prop_map(|(name, value)| Change::Join(name, value)),
        2 => (name(), value()).prop_map(|(name, value)| Change::Spelt(name, value)),
        2 => name().prop_map(Change::Remove),
        1 => Just(Change::RetainShort),
        1 => Just(Change::Clear),
    ]
}

fn apply(change: &Change, list: &mut Vec<(&'static str, Vec<u8>)>) {
    let first = |list: &[(&str, Vec<u8>)], name| list.iter().position(|(other, _)| *other == name);
    match change {
        Change::Append(name, value) | Change::Spelt(name, value) => {
            list.push((name, value.clone()))
        }
        Change::Set(name, value) => match first(list, *name) {
            Some(at) => {
                list[at].1.clone_from(value);
                let mut number = 0;
                list.retain(|(other, _)| {
                    number += 1;
                    other != name || number == at + 1
                });
            }
            None => list.push((name, value.clone())),
        },
        Change::Join(name, value) => match first(list, *name) {
            Some(at) if list[at].1.is_empty() => list[at].1.clone_from(value),
            Some(_) if value.is_empty() => {}
            Some(at) => {
                list[at].1.push(b',');
                list[at].1.extend_from_slice(value);
            }
            None => list.push((name, value.clone())),
        },
        Change::Remove(name) => list.retain(|(other, _)| other != name),
        Change::RetainShort => list.retain(|(_, value)| value.len() < 100),
        Change::Clear => list.clear(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_list(changes in proptest::collection::vec(change(), 0..120)) {
        let mut map = HeaderMap::new();
        let mut list = Vec::new();
        for change in &changes {
            apply(change, &mut list);
            match change {
                Change::Append(name, value) => map.append(*name, value),
                Change::Spelt(name, value) => map.append_text(name.to_uppercase().as_bytes(), value),
                Change::Set(name, value) => map.set(*name, value),
                Change::Join(name, value) => map.append_to_value(*name, b",", value),
                Change::Remove(name) => _ = map.remove(*name),
                Change::RetainShort => map.retain(|_, value| value.len() < 100),
                Change::Clear => map.clear(),
            }
            let pairs: Vec<_> = map.iter().map(|(name, value)| (std::str::from_utf8(name).unwrap(), value.to_vec())).collect();
            prop_assert_eq!(&pairs, &list, "after {:?}", change);
            prop_assert_eq!(map.byte_size(), list.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>());
            prop_assert_eq!(map.contains(Known::Accept), list.iter().any(|(name, _)| *name == "accept"));
            for name in ["accept", "x-a"] {
                let values: Vec<_> = map.get_all(name).map(<[u8]>::to_vec).collect();
                let expected: Vec<_> = list.iter().filter(|(other, _)| *other == name).map(|(_, value)| value.clone()).collect();
                prop_assert_eq!(values, expected);
            }
        }
    }
}
