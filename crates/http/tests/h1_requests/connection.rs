//! Section 9, and what becomes of a connection: pipelining, HTTP/1.0, upgrades, requests that are cut off.

use super::*;

#[test]
fn section_9_pipelining_leaves_the_next_request_alone() {
    let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
    let second = with_line("GET /2 HTTP/1.1");
    let mut input = Buffer::from(
        [post("Content-Length: 3\r\n", "abc"), second.clone()]
            .concat()
            .as_slice(),
    );
    let mut message = Message::new();
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Headers { end_stream: false }))
    );
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Data { end_stream: true }))
    );
    assert_eq!(input.as_slice(), second);
    assert_eq!(message.data.as_slice(), b"abc");
    assert!(decoder.is_idle());
    message.clear();
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Headers { end_stream: true }))
    );
    assert_eq!(message.headers.path(), Some(&b"/2"[..]));
    assert_eq!(decoder.decode(&mut input, &mut message), Ok(None));
    assert_eq!(decoder.on_eof(&input), Ok(None));
}

#[test]
fn a_body_that_fills_the_input_is_not_copied() {
    let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
    let mut input = Buffer::from(post("Content-Length: 20000\r\n", "").as_slice());
    let mut message = Message::new();
    decoder.decode(&mut input, &mut message).unwrap();
    input.append_slice(&[b'x'; 10_000]);
    let place = input.as_ptr();
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Data { end_stream: false }))
    );
    assert_eq!(message.data.as_ptr(), place);
}

#[test]
fn facts() {
    let facts = |head: &str| {
        let settings = H1Settings {
            accept_http_10: true,
            ..H1Settings::default()
        };
        let mut decoder = ServerDecoder::new(Arc::new(settings));
        decoder
            .decode(&mut Buffer::from(head), &mut Message::new())
            .unwrap()
            .unwrap();
        decoder.facts()
    };
    assert!(facts("GET / HTTP/1.1\r\n\r\n").keep_alive);
    for options in [
        "Connection: close",
        "Connection: X-Foo, Close",
        "Proxy-Connection: close",
        "Connection: keep-alive\r\nConnection: close",
    ] {
        assert!(
            !facts(&format!("GET / HTTP/1.1\r\n{options}\r\n\r\n")).keep_alive,
            "{options}"
        );
    }
    assert!(!facts("GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert!(facts("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
    assert_eq!(facts("GET / HTTP/1.0\r\n\r\n").version, Version::Http10);
    assert!(facts("HEAD / HTTP/1.1\r\n\r\n").is_head);
    assert!(facts("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").chunked);
    assert!(
        facts("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
            .expect_continue
    );
    assert!(!facts("POST / HTTP/1.1\r\nExpect: foo\r\n\r\n").expect_continue);
    assert!(facts("CONNECT a:1 HTTP/1.1\r\n\r\n").is_connect);
}

#[test]
fn a_refused_request_does_not_inherit_facts() {
    let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
    let mut input =
        Buffer::from("HEAD / HTTP/1.1\r\nConnection: close\r\n\r\nGET * HTTP/1.1\r\n\r\n");
    let mut message = Message::new();
    decoder.decode(&mut input, &mut message).unwrap();
    assert!(decoder.facts().is_head);
    let error = decoder.decode(&mut input, &mut message).unwrap_err();
    assert_eq!(
        (error.details, error.body()),
        ("http1.invalid_url", "Bad Request")
    );
    assert!(!decoder.facts().is_head);
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Err(error),
        "an error stays"
    );
}

#[test]
fn http_10() {
    let settings = H1Settings {
        accept_http_10: true,
        default_host_for_http_10: "dflt".into(),
        ..H1Settings::default()
    };
    let transcript = requests(b"GET / HTTP/1.0\r\n\r\n", settings.clone());
    assert_eq!(
        transcript.messages[0].headers.authority(),
        Some(&b"dflt"[..])
    );
    check(
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        &settings,
        Ok(&["abc"]),
    );
    // Faults of the framing and of the target come before the version, those of the host after it.
    refuses(
        b"GET / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n",
        ENCODING,
    );
    refuses(b"GET * HTTP/1.0\r\n\r\n", URL);
    refuses(b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", LOW_VERSION);
}

#[test]
fn upgrades_and_connect_pass_everything_on() {
    for (head, facts) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            (true, false),
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, upgrade\r\nUpgrade: foo\r\nContent-Length: 3\r\n\r\n",
            (true, false),
        ),
        (
            "CONNECT h:80 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            (false, true),
        ),
    ] {
        let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
        let mut input = Buffer::from(head);
        let mut message = Message::new();
        assert_eq!(
            decoder.decode(&mut input, &mut message),
            Ok(Some(Event::Headers { end_stream: false }))
        );
        assert_eq!(
            (decoder.facts().is_upgrade, decoder.facts().is_connect),
            facts
        );
        input.append_slice(b"raw GET / HTTP/1.1\r\n\r\n");
        assert_eq!(
            decoder.decode(&mut input, &mut message),
            Ok(Some(Event::Data { end_stream: false }))
        );
        assert_eq!(message.data.as_slice(), b"raw GET / HTTP/1.1\r\n\r\n");
        assert_eq!(
            decoder.on_eof(&input),
            Ok(Some(Event::Data { end_stream: true }))
        );
    }
    refuses(
        b"CONNECT h:80 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        (400, "http1.body_disallowed"),
    );
    refuses(
        b"CONNECT h:80 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ENCODING,
    );
}

#[test]
fn upgrades_that_are_no_upgrades() {
    for (head, expected) in [
        ("Upgrade: websocket\r\n", &["upgrade"][..]),
        ("Connection: upgrade\r\n", &["connection"][..]),
        (
            "Connection: upgrade, http2-settings, x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
            &["connection"][..],
        ),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
            &[][..],
        ),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{head}\r\n");
        let transcript = requests(bytes.as_bytes(), H1Settings::default());
        assert!(transcript.messages[0].complete, "{head}");
        let names: Vec<_> = transcript.messages[0]
            .headers
            .iter()
            .skip(3)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            expected
                .iter()
                .map(|name| name.as_bytes())
                .collect::<Vec<_>>(),
            "{head}"
        );
    }
    let settings = H1Settings {
        ignore_upgrade: Some(UpgradeMatcher(Arc::new(|protocol| {
            protocol.starts_with(b"TLS/")
        }))),
        ..H1Settings::default()
    };
    let bytes =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.2, TLS/1.0\r\n\r\n";
    let transcript = requests(bytes, settings.clone());
    assert!(transcript.messages[0].complete);
    assert_eq!(transcript.messages[0].headers.len(), 3);
    let bytes =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.2, websocket\r\n\r\n";
    let transcript = requests(bytes, settings);
    assert_eq!(
        transcript.messages[0].headers.get(Known::Upgrade),
        Some(&b"websocket"[..])
    );
    assert!(!transcript.messages[0].complete);
}

#[test]
fn requests_that_are_cut_off() {
    for bytes in [
        &b"GET / HT"[..],
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
        let mut input = Buffer::from(bytes);
        while decoder
            .decode(&mut input, &mut Message::new())
            .unwrap()
            .is_some()
        {}
        assert!(decoder.on_eof(&input).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_head_that_is_not_complete_leaves_no_headers() {
    for head in [
        &b"GET / HTTP/1.1\r\nHost: h\r\nX-A: b"[..],
        b"GET / HTTP/1.1\r\nX-A: b\r\nHost: h\r\nHost: i\r\n",
    ] {
        let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
        let mut message = Message::new();
        assert_eq!(
            decoder.decode(&mut Buffer::from(head), &mut message),
            Ok(None)
        );
        assert_eq!(message.headers.iter().count(), 0);
        assert!(!message.headers.contains(Known::Authority));
    }
}
