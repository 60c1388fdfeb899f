//! Decodes and encodes header blocks with warm tables, for callgrind: `hpack_cycle ITERATIONS`.

use std::hint::black_box;

use nuncio_buffer::Buffer;
use nuncio_http::HeaderMap;
use nuncio_http::h2::hpack::{Decoder, Encoder, Limits, Visit};

const LIMITS: Limits = Limits {
    bytes: 60 << 10,
    count: 100,
};

fn request() -> HeaderMap {
    [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "shop.example.com"),
        (":path", "/api/v1/items?page=2&sort=price"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0)"),
        ("accept", "text/html,application/xhtml+xml;q=0.9"),
        ("accept-language", "en-GB,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("referer", "https://shop.example.com/"),
        ("cookie", "session=0123456789abcdef0123456789abcdef"),
        ("x-custom-flag", "some-value"),
        ("cache-control", "no-cache"),
    ]
    .into_iter()
    .collect()
}

fn response() -> HeaderMap {
    [
        (":status", "200"),
        ("content-type", "application/json"),
        ("content-length", "1832"),
        ("vary", "accept-encoding"),
        ("cache-control", "private, max-age=0"),
        ("x-envoy-upstream-service-time", "3"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("server", "envoy"),
    ]
    .into_iter()
    .collect()
}

#[inline(never)]
fn decode_request(decoder: &mut Decoder, block: &[u8], headers: &mut HeaderMap) {
    headers.clear();
    let decoded = decoder.decode(block, headers, LIMITS, |_, _| Visit::Store);
    black_box(decoded).expect("a valid block");
}

#[inline(never)]
fn encode_response(encoder: &mut Encoder, headers: &HeaderMap, out: &mut Buffer) {
    out.clear();
    encoder.encode(headers, |_, _| true, out);
}

fn main() {
    let iterations: usize = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(1000);
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new());
    let (mut block, mut headers) = (Buffer::new(), HeaderMap::new());
    // The first block fills the tables; the second is what a busy connection sends.
    for _ in 0..2 {
        block.clear();
        encoder.encode(&request(), |_, _| true, &mut block);
        decoder
            .decode(&block, &mut headers, LIMITS, |_, _| Visit::Store)
            .expect("a valid block");
    }
    let mut encoder = Encoder::new(4096);
    let (response, mut out) = (response(), Buffer::new());
    encoder.encode(&response, |_, _| true, &mut out);
    for _ in 0..iterations {
        decode_request(&mut decoder, black_box(&block), &mut headers);
        encode_response(&mut encoder, black_box(&response), &mut out);
        black_box((&headers, &out));
    }
}
