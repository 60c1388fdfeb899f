//! Section 5: fields, and how many and how large they may be.

use super::*;

#[test]
fn section_5_fields() {
    for byte in *b"!#$%&'*+-.^_`|~" {
        accepts(&with_header(&[b'X', byte, b'y', b':', b'b']), &[""]);
    }
    for byte in *b"\t \"(),/;<=>?@[\\]{}\x80\xff" {
        refuses(&with_header(&[b'X', byte, b'y', b':', b'b']), CODEC);
    }
    for header in [
        "X : b",
        "X\t: b",
        " X: b",
        ": b",
        "Xfoo",
        ":method: POST",
        ":path: /x",
    ] {
        refuses(&with_header(header.as_bytes()), CODEC);
    }
    for header in ["X: a\r\n b", "X: a\r\n\tb", "X:\r\n b"] {
        refuses(&with_header(header.as_bytes()), CODEC);
    }
    for byte in [0, 1, 7, 8, 0x0b, 0x0c, 0x1b, 0x1f, 0x7f] {
        refuses(&with_header(&[b'X', b':', b'a', byte, b'b']), CHARACTERS);
    }
    for byte in [b'\t', 0x80, 0xff] {
        accepts(&with_header(&[b'X', b':', b'a', byte, b'b']), &[""]);
    }
}

#[test]
fn repeated_headers_are_joined_as_envoy_does() {
    let transcript = requests(
        b"GET / HTTP/1.1\r\nhost: a\r\ncookie: a\r\ncookie: b\r\nx-forwarded-for: 1\r\nX-Forwarded-For: 2\r\n\
          accept: x\r\nx-foo: 1\r\nx-foo: 2\r\naccept:\r\naccept: y\r\n\r\n",
        H1Settings::default(),
    );
    let headers: Vec<_> = transcript.messages[0].headers.iter().skip(3).collect();
    assert_eq!(
        headers,
        [
            (&b"cookie"[..], &b"a"[..]),
            (b"cookie", b"b"),
            (b"x-forwarded-for", b"1,2"),
            (b"accept", b"x,y"),
            (b"x-foo", b"1"),
            (b"x-foo", b"2"),
        ]
    );
}

#[test]
fn limits() {
    let small = H1Settings {
        max_head_bytes: 1024,
        max_headers: 10,
        ..H1Settings::default()
    };
    let head = |len: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "y".repeat(len - 32)
        )
        .into_bytes()
    };
    assert_eq!(head(1024).len(), 1024);
    check(&head(1024), &small, Ok(&[""]));
    check(&head(1025), &small, Err(TOO_LARGE));
    check(&head(1028)[..1024], &small, Err(TOO_LARGE));
    let many = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
        .into_bytes()
    };
    check(&many(10), &small, Ok(&[""]));
    check(&many(11), &small, Err(TOO_MANY));
    accepts(&many(100), &[""]);
    refuses(&many(101), TOO_MANY);
    let joined = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "accept: y\r\n".repeat(150)
    );
    accepts(joined.as_bytes(), &[""]);
    let lines = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "accept: y\r\n".repeat(400)
    );
    refuses(lines.as_bytes(), TOO_MANY);
    refuses(
        format!("GET /{} HTTP/1.1\r\n", "u".repeat(62_000)).as_bytes(),
        TOO_LARGE,
    );
}

#[test]
fn underscores() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX_a: 1\r\nX-b: 2\r\n\r\n";
    accepts(bytes, &[""]);
    let reject = H1Settings {
        underscores: UnderscoreAction::RejectRequest,
        ..H1Settings::default()
    };
    check(bytes, &reject, Err((400, "http1.unexpected_underscore")));
    let drop = H1Settings {
        underscores: UnderscoreAction::DropHeader,
        ..H1Settings::default()
    };
    let mut decoder = ServerDecoder::new(Arc::new(drop));
    let mut message = Message::new();
    decoder
        .decode(&mut Buffer::from(bytes), &mut message)
        .unwrap();
    assert!(!message.headers.contains("x_a") && message.headers.contains("x-b"));
    assert_eq!(
        (
            decoder.take_dropped_underscores(),
            decoder.take_dropped_underscores()
        ),
        (1, 0)
    );
}
