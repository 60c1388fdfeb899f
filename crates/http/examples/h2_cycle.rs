//! Serves requests over HTTP/2, ten streams at a time, and asks for them, for callgrind: `h2_cycle ITERATIONS [vary]`.
//! With `vary` no two requests or responses are alike.

use std::hint::black_box;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_http::h2::{Connection, H2Settings, Incoming, Role, StreamKey};
use nuncio_http::{Event, HeaderMap, Known, Message};

const STREAMS: usize = 10;

struct End {
    connection: Connection,
    scratch: Message,
    out: Buffer,
    keys: Vec<StreamKey>,
}

impl End {
    fn new(role: Role) -> Self {
        let mut end = Self {
            connection: Connection::new(role, Arc::new(H2Settings::default())),
            scratch: Message::new(),
            out: Buffer::new(),
            keys: Vec::new(),
        };
        end.connection.start(&mut end.out);
        end
    }

    fn read(&mut self, input: &mut Buffer) {
        loop {
            let incoming = self
                .connection
                .decode(input, &mut self.scratch, &mut self.out);
            match incoming.expect("valid frames") {
                None => return,
                Some(Incoming::Stream { key, event }) if event.is_end() => self.keys.push(key),
                Some(Incoming::Stream {
                    event: Event::Data { .. },
                    ..
                }) => self.scratch.data.clear(),
                Some(_) => {}
            }
        }
    }
}

#[inline(never)]
fn ask(client: &mut End, request: &mut HeaderMap, vary: bool) {
    for n in 0..STREAMS {
        if vary {
            request.set(Known::Path, [b"/a", b"/b"][n % 2]);
        }
        let key = client.connection.open().expect("a free stream");
        client
            .connection
            .send_headers(key, request, true, &mut client.out);
    }
    client.connection.flushed(0);
}

#[inline(never)]
fn hear(client: &mut End, input: &mut Buffer) {
    client.read(input);
    client.scratch.data.clear();
    for key in client.keys.drain(..) {
        client.connection.consumed(key, 12, &mut client.out);
        client.connection.release(key, &mut client.out);
    }
}

#[inline(never)]
fn serve(
    server: &mut End,
    input: &mut Buffer,
    response: &mut HeaderMap,
    body: &mut Buffer,
    vary: bool,
) {
    server.read(input);
    for (n, key) in server.keys.drain(..).enumerate() {
        if vary {
            response.set(Known::Etag, [b"a", b"b"][n % 2]);
        }
        let (connection, out) = (&mut server.connection, &mut server.out);
        connection.send_headers(key, response, false, out);
        body.append_slice(b"hello world\n");
        black_box(connection.send_data(key, body, true, usize::MAX, out));
        connection.release(key, out);
    }
    server.connection.flushed(0);
    black_box(server.connection.take_counts());
}

fn main() {
    let rounds: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1000);
    let vary = std::env::args().nth(2).is_some();
    let mut request: HeaderMap = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "127.0.0.1:10000"),
        (":path", "/"),
        ("user-agent", "h2load nghttp2/1.52.0"),
    ]
    .into_iter()
    .collect();
    let mut response: HeaderMap = [
        (":status", "200"),
        ("content-length", "12"),
        ("content-type", "text/plain"),
        ("x-envoy-upstream-service-time", "0"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("server", "envoy"),
    ]
    .into_iter()
    .collect();
    let (mut client, mut server) = (End::new(Role::Client), End::new(Role::Server));
    let mut body = Buffer::new();
    for _ in 0..rounds {
        ask(&mut client, &mut request, vary);
        let mut wire = std::mem::take(&mut client.out);
        serve(&mut server, &mut wire, &mut response, &mut body, vary);
        wire = std::mem::take(&mut server.out);
        hear(&mut client, &mut wire);
    }
}
