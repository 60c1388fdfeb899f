//! Sections 2 and 3: messages, versions, request lines, targets.

use super::*;

#[test]
fn section_2_2_message_parsing() {
    accepts(b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[""]);
    accepts(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["", ""],
    );
    refuses(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", CODEC);
    refuses(b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", CODEC);
    refuses(b"GET / HTTP/1.1\nHost: a\n\n", CODEC);
    refuses(b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", CODEC);
    refuses(b"GET / HTTP/1.1\r\nHost: a\r\n\n", CODEC);
    refuses(b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", CODEC);
    refuses(&with_header(b"X: a\rb"), CODEC);
    refuses(b"\x16\x03\x01\x00\xff", CODEC);
    refuses(b"hello\r\n\r\n", CODEC);
}

#[test]
fn section_2_3_version() {
    for version in [
        "HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "",
    ] {
        refuses(&with_line(&format!("GET / {version}")), LOW_VERSION);
    }
    refuses(b"GET /\r\n\r\n", LOW_VERSION);
    refuses(b"GET /\r HTTP/1.1\r\n\r\n", CODEC);
    for version in [
        "HTTP/1",
        "http/1.1",
        "HTTP/01.1",
        "HTTP/1.10",
        "HTTP/11.1",
        "HTTP/1.1x",
        "HTTQ/1.1",
        "HTTP /1.1",
        "HTTP/1,1",
        "FOO/1.1",
    ] {
        refuses(&with_line(&format!("GET / {version}")), CODEC);
    }
}

#[test]
fn section_3_request_line() {
    for method in [
        "get", "Get", "FOO", "G@T", "G T", "", "PRI", "M-SEARCH", "(GET)", "GETT",
    ] {
        refuses(&with_line(&format!("{method} / HTTP/1.1")), CODEC);
    }
    for method in [
        "GET",
        "QUERY",
        "PROPFIND",
        "PURGE",
        "TRACE",
        "OPTIONS",
        "MKACTIVITY",
        "UNSUBSCRIBE",
    ] {
        accepts(&with_line(&format!("{method} / HTTP/1.1")), &[""]);
    }
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.1 ",
    ] {
        refuses(&with_line(line), CODEC);
    }
    for byte in [0, 1, 0x1f, 0x7f] {
        refuses(
            &[b"GET /a", &[byte][..], b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            CHARACTERS,
        );
    }
    for byte in [b'\t', 0x80, 0xff] {
        refuses(
            &[b"GET /a", &[byte][..], b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            CODEC,
        );
    }
    refuses("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes(), CODEC);
    let custom = H1Settings {
        allow_custom_methods: true,
        ..H1Settings::default()
    };
    for method in ["FOO", "foo", "M-SEARCH", "123", "!"] {
        check(
            &with_line(&format!("{method} / HTTP/1.1")),
            &custom,
            Ok(&[""]),
        );
    }
    check(&with_line("F@O / HTTP/1.1"), &custom, Err(CODEC));
    check(b"\"", &custom, Err(CODEC));
}

#[test]
fn section_3_2_target_and_host() {
    let seen = |bytes: &[u8]| {
        let transcript = requests(bytes, H1Settings::default());
        let headers = &transcript.messages[0].headers;
        [Known::Scheme, Known::Authority, Known::Path].map(|name| {
            headers
                .get(name)
                .map(|value| String::from_utf8(value.to_vec()).unwrap())
        })
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen(b"GET http://x:1/p?q HTTP/1.1\r\nHost: b\r\n\r\n"),
        [some("http"), some("x:1"), some("/p?q")]
    );
    assert_eq!(
        seen(b"GET HTTPS://x HTTP/1.1\r\n\r\n"),
        [some("https"), some("x"), some("/")]
    );
    assert_eq!(
        seen(b"GET http://h?x HTTP/1.1\r\n\r\n"),
        [some("http"), some("h"), some("?x")]
    );
    assert_eq!(
        seen(b"CONNECT h:80 HTTP/1.1\r\nHost: z\r\n\r\n"),
        [None, some("h:80"), None]
    );
    assert_eq!(
        seen(b"OPTIONS * HTTP/1.1\r\nHost: z\r\n\r\n"),
        [None, some("z"), some("*")]
    );
    assert_eq!(
        seen(b"GET / HTTP/1.1\r\n\r\n"),
        [None, None, some("/")],
        "judged by the connection manager"
    );
    assert_eq!(
        seen(b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        [None, some(""), some("/")]
    );
    refuses(&with_line("GET * HTTP/1.1"), (400, "http1.invalid_url"));
    refuses(&with_line("CONNECT / HTTP/1.1"), (400, "http1.invalid_url"));
    refuses(
        &with_line("GET ws://h/p HTTP/1.1"),
        (400, "http1.invalid_scheme"),
    );
    refuses(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", AUTHORITY);
    refuses(b"GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n", AUTHORITY);
    for host in [
        "a b", "a/b", "a?b", "a#b", "a\"b", "a<b", "a\\b", "a^b", "a{b", "a|b", "a`b", "a\tb",
        "http://x", "\u{e9}",
    ] {
        refuses(
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
            AUTHORITY,
        );
    }
    for host in [
        "a:80",
        "a:x",
        "u:p@b",
        "[::1]:80",
        "::1",
        "a_b",
        "a%20b",
        "*",
        "a!$&'()*+,;=~b",
        ".",
        ":80",
    ] {
        accepts(
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
            &[""],
        );
    }
    let relative = H1Settings {
        allow_absolute_url: false,
        ..H1Settings::default()
    };
    check(
        &with_line("CONNECT / HTTP/1.1"),
        &relative,
        Err((400, "http1.invalid_url")),
    );
    let transcript = requests(b"GET http://h/p HTTP/1.1\r\nHost: a\r\n\r\n", relative);
    assert_eq!(
        transcript.messages[0].headers.path(),
        Some(&b"http://h/p"[..])
    );
    assert_eq!(transcript.messages[0].headers.authority(), Some(&b"a"[..]));
}
