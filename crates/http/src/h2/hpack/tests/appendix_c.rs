//! The examples of RFC 7541, appendix C.

use super::super::Decoder;
use super::super::integer::{self, Input};
use super::{decode, hex};
use crate::HeaderMap;

/// What a decoder's dynamic table holds, newest first.
fn table(decoder: &Decoder) -> Vec<(String, String)> {
    decoder
        .entries()
        .map(|(name, value)| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(name), text(value))
        })
        .collect()
}

/// One dump with the headers in it, and the table after it with its size.
type Example<'a> = (
    &'a str,
    &'a [(&'a str, &'a str)],
    &'a [(&'a str, &'a str)],
    usize,
);

/// Decodes blocks one after the other; after each, the headers and the table must be these.
fn check(limit: u32, blocks: &[Example<'_>]) {
    let mut decoder = Decoder::new();
    if limit != super::super::DEFAULT_TABLE_SIZE {
        // The examples presume that both sides know the size: there is no update in the blocks.
        decoder.set_limit(limit);
        let update = {
            let mut bytes = Vec::new();
            integer::write(0x20, 5, limit, &mut bytes);
            bytes
        };
        assert!(decode(&mut decoder, &update).unwrap().is_empty());
    }
    for (dump, headers, entries, size) in blocks {
        let expected: HeaderMap = headers.iter().copied().collect();
        assert_eq!(decode(&mut decoder, &hex(dump)), Ok(expected), "{dump}");
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(table(&decoder), entries, "{dump}");
        assert_eq!(decoder.table_size(), *size);
    }
}

#[test]
fn rfc7541_c_1_integers() {
    for (first, rest, bits, value) in [
        (0b0110_1010_u8, "", 5, 10),
        (0b0001_1111, "9a0a", 5, 1337),
        (0b0010_1010, "", 8, 42),
    ] {
        let rest = hex(rest);
        let mut input = Input::new(&rest);
        assert_eq!(input.integer(first, bits), Ok(value));
        assert_eq!(input.next(), None);
        let flags = first & !(((1_u32 << bits) - 1) as u8);
        let mut written = Vec::new();
        integer::write(flags, bits, value, &mut written);
        assert_eq!(written, [&[first][..], &rest].concat());
    }
}

#[test]
fn rfc7541_c_2_header_fields() {
    check(
        4096,
        &[(
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            &[("custom-key", "custom-header")],
            &[("custom-key", "custom-header")],
            55,
        )],
    );
    check(
        4096,
        &[(
            "040c 2f73 616d 706c 652f 7061 7468",
            &[(":path", "/sample/path")],
            &[],
            0,
        )],
    );
    check(
        4096,
        &[(
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            &[("password", "secret")],
            &[],
            0,
        )],
    );
    check(4096, &[("82", &[(":method", "GET")], &[], 0)]);
}

const REQUESTS: [&[(&str, &str)]; 3] = [
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
];

const REQUEST_TABLE: [(&str, &str); 3] = [
    ("custom-key", "custom-value"),
    ("cache-control", "no-cache"),
    (":authority", "www.example.com"),
];

fn check_requests(dumps: [&str; 3]) {
    check(
        4096,
        &[
            (dumps[0], REQUESTS[0], &REQUEST_TABLE[2..], 57),
            (dumps[1], REQUESTS[1], &REQUEST_TABLE[1..], 110),
            (dumps[2], REQUESTS[2], &REQUEST_TABLE, 164),
        ],
    );
}

#[test]
fn rfc7541_c_3_requests_without_huffman() {
    check_requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn rfc7541_c_4_requests_with_huffman() {
    check_requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

fn check_responses(dumps: [&str; 3]) {
    let date21 = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let date22 = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    let private = ("cache-control", "private");
    let location = ("location", "https://www.example.com");
    let first = [(":status", "302"), private, date21, location];
    let second = [(":status", "307"), private, date21, location];
    let third = [
        (":status", "200"),
        private,
        date22,
        location,
        ("content-encoding", "gzip"),
        ("set-cookie", COOKIE),
    ];
    check(
        256,
        &[
            (
                dumps[0],
                &first,
                &[location, date21, private, (":status", "302")],
                222,
            ),
            (
                dumps[1],
                &second,
                &[(":status", "307"), location, date21, private],
                222,
            ),
            (
                dumps[2],
                &third,
                &[("set-cookie", COOKIE), ("content-encoding", "gzip"), date22],
                215,
            ),
        ],
    );
}

#[test]
fn rfc7541_c_5_responses_without_huffman() {
    check_responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
         3d31",
    ]);
}

#[test]
fn rfc7541_c_6_responses_with_huffman() {
    check_responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}
