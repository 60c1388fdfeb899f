//! Requests and answers of HTTP/1.1: usual ones, odd ones, and some with one fault. What Nuncio refuses on purpose (see the
//! codec's DEVIATIONS.md) is not among them, nor are several faults at once: which one is told first is nobody's concern.

use serde_json::{Value, json};

/// Numbers that follow from a seed (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

const METHODS: &[&str] = &[
    "GET", "GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE",
    "PROPFIND", "PURGE", "QUERY",
];
const TARGETS: &[&str] = &[
    "/",
    "/p?q=1",
    "/a//b",
    "/a/../b",
    "/a/./b",
    "/%2e%2e/x",
    "/a%2fb",
    "/a%5cb",
    "/a\\b",
    "/%41%7e",
    "/a%00b",
    "/a#b",
    "/p?a#f",
    "/%",
    "/%zz",
    "//a/b",
    "/?",
    "/a;b=1",
    "/..",
    "/<x>",
    "/\"x\"",
    "/|",
    "http://h.example/p",
    "http://h.example",
    "http://h.example?q",
    "HTTP://h.example:80/p",
    "https://h.example/p",
    "http://u:p@h.example/p",
    "http://[::1]:8080/p",
    "*",
];
const BAD_TARGETS: &[&str] = &[
    "x",
    "?q",
    "http:/p",
    "http:///p",
    "ftp://x/y",
    "http://h:99999/",
    "a:b",
    "/\u{e9}",
    "/\u{7f}",
];
const HOSTS: &[&str] = &[
    "a.example",
    "A.Example",
    "a.example:80",
    "a.example.",
    "a:",
    "[::1]:80",
    "1.2.3.4",
    "u@a",
    "a,b",
    "a_b",
    "*",
    "%61",
    "a!b",
    "",
];
const BAD_HOSTS: &[&str] = &["a b", "a/b", "a?b", "a#b", "a<b", "a\"b", "a\\b", "a{b"];
const NAMES: &[&str] = &[
    "x-a",
    "X-Mixed-Case",
    "x_under",
    "accept",
    "user-agent",
    "referer",
    "cookie",
    "authorization",
    "cache-control",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-request-id",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-max-retries",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-original-path",
    "x-envoy-attempt-count",
    "x-envoy-downstream-service-cluster",
    "traceparent",
    "content-type",
    "content-encoding",
    "date",
    "server",
    "etag",
    "range",
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "origin",
    "x-forwarded-client-cert",
    "grpc-timeout",
    "max-forwards",
    "pragma",
    "early-data",
    "http2-settings",
];
const ANSWER_NAMES: &[&str] = &[
    "x-a",
    "X-Mixed",
    "set-cookie",
    "server",
    "date",
    "via",
    "etag",
    "content-type",
    "cache-control",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "trailer",
    "location",
    "x-envoy-upstream-service-time",
    "x-envoy-foo",
    "x-envoy-degraded",
    "x-envoy-overloaded",
    "x-request-id",
    "www-authenticate",
    "vary",
    "grpc-status",
    "x_under",
    "host",
    "age",
    "retry-after",
];
const VALUES: &[&str] = &[
    "v",
    "v",
    "1",
    "",
    "a, b",
    "a,b",
    ",",
    "  v  ",
    "\tv\t",
    "\"q\"",
    "a;b",
    "a=b",
    "\u{80}\u{ff}",
    "a\tb",
    "close",
    "keep-alive",
    "trailers",
    "trailers, deflate",
    "TRAILERS",
    "http",
    "https",
    "1.2.3.4",
    "1.2.3.4, 5.6.7.8",
    "/a:b",
    "http://a/#b",
    "*",
    "-1",
];
const CONNECTIONS: &[&str] = &[
    "close",
    "keep-alive",
    "Close, x-a",
    "x-a",
    "te",
    "upgrade",
    "foo",
    "host",
    "cookie",
    ",",
    "close,",
    "connection",
    "user-agent",
    "x-forwarded-for",
    ":path",
    "x-request-id",
    "1,2,3,4,5,6,7,8,9,10",
];
const BAD_LINES: &[&str] = &[
    "no-colon",
    "x a: b",
    "x(: b",
    ": b",
    "x: \u{1}",
    "x\u{e9}: b",
    "x: \u{7f}",
];
const BAD_FRAMING: &[&str] = &[
    "Content-Length: +3",
    "Content-Length: a",
    "Content-Length: 3, 3",
    "Content-Length: 18446744073709551616",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: identity",
];
const STATUSES: &[&str] = &[
    "200 OK",
    "200 OK",
    "200",
    "204 No Content",
    "304 Not Modified",
    "205 x",
    "206 x",
    "301 Moved",
    "404 Not Found",
    "418 x",
    "500 x",
    "503 x",
    "599 x",
    "600 x",
    "999 x",
];
const BAD_STATUSES: &[&str] = &["abc OK", "-20 x", "0x20 x", ""];

/// One request and what the origin makes of it, as a scenario without a name.
pub(super) fn exchange(random: &mut Random) -> Value {
    let fault = random.below(8);
    let method = random.one_of(METHODS);
    let request = request(random, method, fault);
    let mut script = vec![json!({"write": answer(random, method, fault)})];
    script.insert(0, json!("read"));
    script.push(json!(if random.once_in(3) { "close" } else { "hold" }));
    json!({
        "steps": [{"send": request, "head": method == "HEAD"}, {"await": "quiet"}],
        "origins": {"origin": script},
    })
}

fn request(random: &mut Random, method: &str, fault: usize) -> String {
    let target = match fault {
        0 => random.one_of(BAD_TARGETS),
        _ if random.once_in(2) => random.one_of(TARGETS),
        _ => "/p",
    };
    let version = match random.once_in(20) {
        true => "HTTP/1.0",
        false => "HTTP/1.1",
    };
    let mut lines = vec![format!("{method} {target} {version}")];
    match fault {
        1 => lines.push(format!("Host: {}", random.one_of(BAD_HOSTS))),
        _ if random.once_in(12) => {}
        _ if random.once_in(3) => lines.push(format!("Host: {}", random.one_of(HOSTS))),
        _ => lines.push("host: a".to_owned()),
    }
    headers(random, NAMES, &mut lines);
    if random.once_in(4) {
        lines.push(format!("Connection: {}", random.one_of(CONNECTIONS)));
    }
    if random.once_in(12) {
        lines.push("Expect: 100-continue".to_owned());
    }
    match fault {
        2 => lines.push(random.one_of(BAD_LINES).to_owned()),
        3 => lines.push(random.one_of(BAD_FRAMING).to_owned()),
        _ => return framed(random, lines),
    }
    lines.join("\r\n") + "\r\n\r\n"
}

fn answer(random: &mut Random, method: &str, fault: usize) -> String {
    let status = match fault {
        4 => random.one_of(BAD_STATUSES),
        6 => "200 OK",
        _ => random.one_of(STATUSES),
    };
    let mut text = String::new();
    if random.once_in(8) {
        text += random.one_of(&[
            "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 199 x\r\n\r\n",
        ]);
    }
    let version = match random.once_in(12) {
        true => "HTTP/1.0",
        false => "HTTP/1.1",
    };
    let mut lines = vec![format!("{version} {status}")];
    headers(random, ANSWER_NAMES, &mut lines);
    if random.once_in(6) {
        lines.push(format!(
            "Connection: {}",
            random.one_of(&["close", "keep-alive", "x-a", "upgrade"])
        ));
    }
    match fault {
        5 => lines.push(random.one_of(BAD_LINES).to_owned()),
        6 => lines.push(random.one_of(BAD_FRAMING).to_owned()),
        _ if method == "HEAD" || status.starts_with("204") || status.starts_with("304") => {}
        _ => return text + &framed(random, lines),
    }
    text + &lines.join("\r\n") + "\r\n\r\n"
}

fn headers(random: &mut Random, names: &[&str], lines: &mut Vec<String>) {
    for _ in 0..random.below(4) {
        let line = format!("{}: {}", random.one_of(names), random.one_of(VALUES));
        lines.push(line.clone());
        if random.once_in(6) {
            lines.push(line);
        }
    }
}

/// Head and body, framed in one of the ways that are allowed; in an answer, no framing at all leaves it to the end of
/// the connection.
fn framed(random: &mut Random, mut lines: Vec<String>) -> String {
    let body = random.one_of(&["", "abc", "0123456789"]);
    let body = match random.below(3) {
        0 => String::new(),
        1 => {
            lines.push(format!("Content-Length: {}", body.len()));
            body.to_owned()
        }
        _ => {
            lines.push("Transfer-Encoding: chunked".to_owned());
            let chunk = match body.len() {
                0 => String::new(),
                length => format!("{length:X};a=\"b\"\r\n{body}\r\n"),
            };
            let trailers = random.one_of(&["", "", "x-t: 1\r\nx-t: 2\r\n"]);
            format!("{chunk}0\r\n{trailers}\r\n")
        }
    };
    lines.join("\r\n") + "\r\n\r\n" + &body
}
