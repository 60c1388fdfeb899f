//! The codec's share of a proxied HTTP/1.1 exchange, for `valgrind --tool=callgrind`:
//! decode a request, write it upstream, decode the response, write it downstream.
//!
//! `h1_cycle [iterations]`, by default 100,000.

use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_http::h1::{ClientDecoder, ClientEncoder, H1Settings, ServerDecoder, ServerEncoder};
use nuncio_http::{Event, Message};

const REQUEST: &[u8] = b"GET /api/v1/items?page=2 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: wrk/4.1.0\r\n\
    Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nX-Custom-Header: some value\r\nCookie: session=0123456789abcdef\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 14:17:53 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 32\r\nConnection: keep-alive\r\nETag: \"65f\"\r\n\r\n\
    0123456789abcdef0123456789abcdef";

fn main() {
    let iterations: u64 = std::env::args()
        .nth(1)
        .and_then(|arg| arg.parse().ok())
        .unwrap_or(100_000);
    let settings = Arc::new(H1Settings::default());
    let mut server = (
        ServerDecoder::new(settings.clone()),
        ServerEncoder::new(settings.clone()),
    );
    let mut client = (
        ClientDecoder::new(settings.clone()),
        ClientEncoder::new(settings),
    );
    let (mut from_client, mut to_server) = (Buffer::new(), Buffer::new());
    let (mut from_server, mut to_client) = (Buffer::new(), Buffer::new());
    let (mut request, mut response) = (Message::new(), Message::new());
    let mut written = 0;
    for _ in 0..iterations {
        from_client.append_slice(REQUEST);
        let event = server
            .0
            .decode(&mut from_client, &mut request)
            .expect("a valid request");
        assert_eq!(event, Some(Event::Headers { end_stream: true }));
        let kind = client
            .1
            .encode_headers(&request.headers, true, &mut to_server)
            .expect("pseudo headers");
        client.0.begin(kind);
        from_server.append_slice(RESPONSE);
        let event = client
            .0
            .decode(&mut from_server, &mut response)
            .expect("a valid response");
        assert_eq!(event, Some(Event::Headers { end_stream: false }));
        server
            .1
            .encode_headers(&server.0.facts(), &response.headers, false, &mut to_client);
        let event = client
            .0
            .decode(&mut from_server, &mut response)
            .expect("a valid body");
        assert_eq!(event, Some(Event::Data { end_stream: true }));
        server
            .1
            .encode_data(&mut response.data, true, &mut to_client);
        written += to_server.len() + to_client.len();
        to_server.clear();
        to_client.clear();
        request.clear();
        response.clear();
    }
    println!("{iterations} exchanges, {written} bytes written");
}
