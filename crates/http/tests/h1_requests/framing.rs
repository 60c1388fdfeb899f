//! Sections 6 and 7: how long a message is.

use super::*;

#[test]
fn section_6_2_content_length() {
    accepts(&post("Content-Length: 3\r\n", "abc"), &["abc"]);
    accepts(&post("Content-Length: \t003 \r\n", "abc"), &["abc"]);
    accepts(&post("Content-Length: 0\r\n", ""), &[""]);
    accepts(&post("", ""), &[""]);
    accepts(
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        &["abc"],
    );
    for value in [
        "+3",
        "-3",
        "3,3",
        "3, 3",
        "0x3",
        "3a",
        "",
        "3 3",
        "99999999999999999999999",
        "18446744073709551616",
    ] {
        refuses(&post(&format!("Content-Length: {value}\r\n"), "abc"), CODEC);
    }
    // CL.CL: equal or not, in either order, one of them empty.
    for (first, second) in [("3", "3"), ("3", "4"), ("0", "3"), ("3", ""), ("", "3")] {
        refuses(
            &post(
                &format!("Content-Length: {first}\r\nContent-Length: {second}\r\n"),
                "abc",
            ),
            CODEC,
        );
    }
}

#[test]
fn section_6_1_transfer_encoding() {
    for value in ["chunked", "Chunked", "CHUNKED", "chunked ", "chunked\t"] {
        accepts(
            &post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n"),
            &[""],
        );
    }
    // TE.TE
    for value in [
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity, chunked",
        "xchunked",
        "chunked;q=1",
        "",
        "\"chunked\"",
        ",chunked",
        "chunked,",
    ] {
        refuses(
            &post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n"),
            ENCODING,
        );
    }
    for (first, second) in [
        ("chunked", "chunked"),
        ("identity", "chunked"),
        ("chunked", ""),
        ("", "chunked"),
        ("chunked", "x"),
    ] {
        let headers = format!("Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}\r\n");
        refuses(&post(&headers, "0\r\n\r\n"), ENCODING);
    }
    refuses(&post("Transfer-Encoding: chunked\x0b\r\n", ""), CHARACTERS);
    refuses(&post("Transfer-Encoding : chunked\r\n", ""), CODEC);
    refuses(&post("Transfer Encoding: chunked\r\n", ""), CODEC);
    refuses(&post("Transfer-Encoding:\r\n chunked\r\n", ""), CODEC);
    // CL.TE and TE.CL
    for headers in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: gzip\r\n",
    ] {
        refuses(&post(headers, "0\r\n\r\n"), BOTH);
    }
    let lax = H1Settings {
        allow_chunked_length: true,
        ..H1Settings::default()
    };
    let both = post(
        "Content-Length: 30\r\nTransfer-Encoding: chunked\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
    );
    check(&both, &lax, Ok(&["abc"]));
    assert!(
        !requests(&both, lax.clone()).messages[0]
            .headers
            .contains(Known::ContentLength)
    );
    check(
        &post("Content-Length: 3\r\nTransfer-Encoding: gzip\r\n", "abc"),
        &lax,
        Err(BOTH),
    );
    check(
        &post(
            "Content-Length: 3\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "",
        ),
        &lax,
        Err(CODEC),
    );
}

#[test]
fn section_7_1_chunks() {
    for body in [
        "3\r\nabc\r\n0\r\n\r\n",
        "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        "03\r\nabc\r\n00\r\n\r\n",
        "00000000000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;ext=1\r\nabc\r\n0;x\r\n\r\n",
        "3 ;ext=\"\u{e9}\"\r\nabc\r\n0\r\n\r\n",
        "3 \t\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nT: 1\r\n\r\n",
    ] {
        accepts(
            &[chunked(body), with_line("GET /2 HTTP/1.1")].concat(),
            &["abc", ""],
        );
    }
    for body in [
        " 3\r\nabc",
        "0x3\r\nabc",
        "+3\r\nabc",
        "-3\r\nabc",
        "g\r\nabc",
        "\r\nabc",
        ";\r\nabc",
        "3\nabc",
        "3\r\rabc",
        "3;a\nb\r\nabc",
        "3;a\rb\r\nabc",
        "3;a\0b\r\nabc",
        "10000000000000000\r\nabc",
        "fffffffffffffffff\r\nabc",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\n\r\n",
        "0\r\nfoo\r\n\r\n",
        "0\r\nfoo : x\r\n\r\n",
        "0\r\n: x\r\n\r\n",
        "0\r\n:path: /\r\n\r\n",
        "0\r\na: b\r\n c\r\n\r\n",
    ] {
        refuses(&chunked(body), CODEC);
    }
    refuses(&chunked("0\r\nfoo: \0x\r\n\r\n"), CHARACTERS);
    refuses(
        &chunked(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(70_000))),
        TOO_LARGE,
    );
    refuses(&chunked(&format!("3;{}\r\nabc", "e".repeat(5000))), CODEC);
    refuses(&chunked(&"0".repeat(5000)), CODEC);
    let pending = requests(&chunked("ffffffffffffffff\r\nabc"), H1Settings::default());
    assert_eq!(
        (
            pending.bodies(),
            pending.error,
            pending.messages[0].complete
        ),
        (vec!["abc".into()], None, false)
    );
}

#[test]
fn section_7_1_2_trailers() {
    let with = H1Settings {
        enable_trailers: true,
        max_headers: 100,
        ..H1Settings::default()
    };
    let body = "3\r\nabc\r\n0\r\nX-T: 1\r\nContent-Length: 5\r\nHost: z\r\nTransfer-Encoding: chunked\r\nX-T: 2\r\n\r\n";
    let transcript = requests(&chunked(body), with.clone());
    let seen = &transcript.messages[0];
    assert_eq!(seen.body, b"abc");
    let trailers: Vec<_> = seen.trailers.as_ref().unwrap().iter().collect();
    assert_eq!(trailers, [(&b"x-t"[..], &b"1"[..]), (b"x-t", b"2")]);
    assert!(seen.complete);
    check(
        &chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(100))),
        &with,
        Ok(&[""]),
    );
    check(
        &chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(101))),
        &with,
        Err(TOO_MANY),
    );
    accepts(
        &chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(150))),
        &[""],
    );
    assert_eq!(
        requests(&chunked(body), H1Settings::default()).messages[0].trailers,
        None
    );
}
