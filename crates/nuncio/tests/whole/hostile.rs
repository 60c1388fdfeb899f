//! Broken requests by the thousand: each is answered or its connection closed, and nothing is left of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use nuncio_testing::{Client, Config, Origin};

use crate::start;

const MUTANTS: usize = 20_000;
const THREADS: usize = 4;
const GROWTH_KIB: u64 = 16 * 1024;

const SEEDS: [&str; 8] = [
    "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /path/x?q=1&r=%20 HTTP/1.1\r\nHost: example.com:80\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
    "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-t: 1\r\n\r\n",
    "HEAD http://user@example.com/abs HTTP/1.1\r\nHost: other\r\nConnection: keep-alive, x-private\r\nx-private: 1\r\n\r\n",
    "PUT /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
];

/// What parsers stumble over.
const TOKENS: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"\r\n\r\n",
    b"\r\n ",
    b"0\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"Host: b\r\n",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"ffffffffffffffff\r\n",
    b"\xff",
    b"%00",
    b"GET / HTTP/1.1\r\nhost: smuggled\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// A small generator (xorshift); the same numbers in every run, so that a failure comes again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..(start + self.below(16)).min(length)
    }

    /// A valid request with one to four changes.
    fn mutant(&mut self) -> Vec<u8> {
        let mut bytes = SEEDS[self.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(7) {
                0 if at < bytes.len() => bytes[at] = self.next() as u8,
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(self.range(bytes.len()))),
                3 => {
                    let piece = bytes[self.range(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                4 => bytes.truncate(at),
                5 => {
                    let other = SEEDS[self.below(SEEDS.len())].as_bytes();
                    let piece = &other[self.range(other.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                _ => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    bytes.splice(at..at, token.iter().copied());
                }
            }
        }
        bytes
    }
}

#[test]
fn mutated_requests_are_answered_or_closed() {
    let refused = Arc::new(AtomicUsize::new(0));
    let nonsense = refused.clone();
    // What reaches the origin is well-formed, whatever came in.
    let origin = Origin::start(move |peer, _| {
        loop {
            let request = peer.request();
            if matches!(&request, Err(error) if error.kind() == io::ErrorKind::InvalidData) {
                nonsense.fetch_add(1, SeqCst);
            }
            let request = request?;
            if request.start.starts_with("HEAD ") {
                peer.answered();
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")?;
            } else {
                peer.answer("ok")?;
            }
        }
    });
    // One of the mutants is the preface of HTTP/2, which would be answered as such.
    let fields = "codec_type: HTTP1, upgrade_configs: [{upgrade_type: websocket}], delayed_close_timeout: 0.1s, ";
    let mut proxy = start(&Config::to(origin.address).hcm(fields));
    let mut client = proxy.client();
    assert_eq!(client.get("/before").status(), 200);
    let before = proxy.resident_kib();
    let address = proxy.address;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            thread::spawn(move || {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (thread as u64 + 1));
                let (mut made, mut answers) = (0, 0);
                while made < MUTANTS / THREADS {
                    let count = 1 + random.below(3);
                    made += count;
                    let mut client = Client::connect(address);
                    let sent: Vec<u8> = (0..count).flat_map(|_| random.mutant()).collect();
                    // Both fail when the proxy has closed already.
                    let _ = client.send(&sent);
                    if random.below(2) == 0 {
                        let _ = client.send(Client::get_bytes("/last"));
                    }
                    let _ = client.finish();
                    let answer = client.closed();
                    let text = String::from_utf8_lossy(&answer);
                    assert!(
                        answer.is_empty() || text.starts_with("HTTP/1."),
                        "{:?} was answered with {text:?}",
                        String::from_utf8_lossy(&sent)
                    );
                    answers += usize::from(!answer.is_empty());
                }
                answers
            })
        })
        .collect();
    let answers: usize = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    assert!(answers > 0);
    assert_eq!(refused.load(SeqCst), 0, "malformed requests at the origin");
    // The connection that was there before has noticed nothing.
    assert_eq!(client.get("/after").status(), 200);
    drop(client);
    proxy.assert_alive();
    proxy.wait_for_stat("http.ingress.downstream_cx_active", 0);
    proxy.wait_for_stat("cluster.origin.upstream_rq_active", 0);
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB, "{grown} KiB more");
}
