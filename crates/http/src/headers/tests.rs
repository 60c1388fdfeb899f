//! Tests of the header map.

use super::*;

fn sample() -> HeaderMap {
    [
        (":method", "GET"),
        ("x-a", "1"),
        ("accept", "x"),
        ("x-a", "2"),
        ("Cookie", "c"),
    ]
    .into_iter()
    .collect()
}

#[test]
fn look_up_keeps_order_and_duplicates() {
    let map = sample();
    assert_eq!(map.method(), Some(&b"GET"[..]));
    assert_eq!(
        map.get(Known::Cookie),
        Some(&b"c"[..]),
        "lower-cased and interned on insertion"
    );
    assert_eq!(map.get(Known::Host), None);
    assert_eq!(map.get_str("x-a"), Some(&b"1"[..]));
    assert_eq!(map.get_all("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(map.get_all(Known::Host).count(), 0);
    assert!(map.contains("accept") && map.contains(Known::Accept) && !map.contains("x-b"));
    assert_eq!(map.len(), 5);
    assert_eq!(map.byte_size(), 10 + 4 + 7 + 4 + 7);
    let names: Vec<_> = map.iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [&b":method"[..], b"x-a", b"accept", b"x-a", b"cookie"]
    );
}

#[test]
fn set_replaces_all_at_the_first_place() {
    let mut map = sample();
    map.set("x-a", b"a much longer value");
    map.set(Known::Accept, b"");
    map.set("x-new", b"n");
    let all: Vec<_> = map.iter().collect();
    assert_eq!(
        all,
        [
            (&b":method"[..], &b"GET"[..]),
            (b"x-a", b"a much longer value"),
            (b"accept", b""),
            (b"cookie", b"c"),
            (b"x-new", b"n"),
        ]
    );
    assert_eq!(
        map.byte_size(),
        all.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>()
    );
}

#[test]
fn remove_counts_and_clears_presence() {
    let mut map = sample();
    assert_eq!(map.remove("x-a"), 2);
    assert_eq!(map.remove(Known::Accept), 1);
    assert_eq!(map.remove(Known::Accept), 0);
    assert!(!map.contains(Known::Accept));
    assert_eq!(map.byte_size(), 10 + 7);
    map.retain(|name, _| name != b":method");
    assert_eq!(
        map.iter().collect::<Vec<_>>(),
        [(&b"cookie"[..], &b"c"[..])]
    );
    assert_eq!(map.method(), None);
}

#[test]
fn values_grow_in_place() {
    let mut map = sample();
    map.append_to_value("x-a", b", ", b"3");
    map.append_to_value("x-b", b",", b"new");
    map.append_to_value("x-b", b",", b"more");
    assert_eq!(map.get_str("x-a"), Some(&b"1, 3"[..]));
    assert_eq!(map.get_str("x-b"), Some(&b"new,more"[..]));
    assert_eq!(map.get_all("x-a").nth(1), Some(&b"2"[..]));
}

#[test]
fn repeated_changes_do_not_grow_the_arena() {
    let mut map = sample();
    for i in 0..100_000_u32 {
        map.set("x-a", &vec![b'x'; (i % 300) as usize]);
        map.remove("x-c");
        map.append("x-c", &[b'y'; 50]);
    }
    assert!(map.capacity() < 16 << 10, "{}", map.capacity());
    assert_eq!(map.method(), Some(&b"GET"[..]));
    assert_eq!(map.get(Known::Cookie), Some(&b"c"[..]));
}

#[test]
fn spelling_is_kept_on_request() {
    let mut map = HeaderMap::new();
    map.append_text(b"X-Plain", b"2");
    map.set_name_case(NameCase::Received);
    map.append_text(b"X-CusTom", b"1");
    map.append_text(b"x-custom", b"2");
    map.append_text(b"Content-TYPE", b"t");
    map.remove("x-custom");
    assert_eq!(map.received_spelling(b"x-custom"), Some(&b"X-CusTom"[..]));
    assert_eq!(
        map.clone().received_spelling(b"content-type"),
        Some(&b"Content-TYPE"[..])
    );
    assert_eq!(map.received_spelling(b"x-plain"), None);
    map.clear();
    assert_eq!(map.name_case(), NameCase::Encoder);
    assert_eq!(map.received_spelling(b"x-custom"), None);
}

#[test]
fn numbers() {
    let mut map = HeaderMap::new();
    map.set_status(404);
    assert_eq!(map.status(), Some(404));
    map.set(Known::Status, b"40");
    assert_eq!(map.status(), None);
    map.set_number(Known::ContentLength, 1234);
    assert_eq!(map.content_length(), Some(1234));
    map.set(Known::ContentLength, b"+5");
    assert_eq!(map.content_length(), None);
}
