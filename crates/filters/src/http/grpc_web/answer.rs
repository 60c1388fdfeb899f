//! What becomes of a response on its way to a gRPC-Web client.

use nuncio_buffer::Buffer;
use nuncio_http::grpc::{self, Code, FrameHeader};
use nuncio_http::{HeaderMap, Known};

use super::{WEB, WEB_PROTO};

/// Marks the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// Most of a foreign body that becomes `grpc-message`, in bytes (Envoy's `MAX_BUFFERED_PLAINTEXT_LENGTH`).
const MOST_MESSAGE: usize = 16 << 10;

/// Whether the upstream speaks gRPC-Web itself. Parameters of the content type do not count, nor does case.
pub(super) fn is_web_already(headers: &HeaderMap) -> bool {
    let content_type = headers.get(Known::ContentType).unwrap_or_default();
    let kind = content_type
        .split(|&b| b == b';')
        .next()
        .unwrap_or_default();
    let kind = kind.trim_ascii_end();
    headers.status() == Some(200)
        && [WEB, WEB_PROTO]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(kind))
}

/// Takes the trailers out of their place and appends them to the body, as a frame of lines.
pub(super) fn move_into_body(trailers: &mut HeaderMap, body: &mut Buffer) {
    let lines: usize = trailers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 3)
        .sum();
    let header = FrameHeader {
        flags: TRAILERS,
        // Codecs limit trailers to a few MiB.
        len: lines as u32,
    };
    body.append_slice(&header.to_bytes());
    for (name, value) in trailers.iter() {
        for part in [name, b":", value, b"\r\n"] {
            body.append_slice(part);
        }
    }
    trailers.clear();
}

/// A response that is not gRPC: its body becomes the message of a gRPC answer, which has no body.
#[derive(Default)]
pub(super) struct Foreign {
    body: Vec<u8>,
}

impl Foreign {
    /// Takes a piece of the body away.
    pub(super) fn take(&mut self, data: &mut Buffer) {
        let room = MOST_MESSAGE - self.body.len();
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        data.clear();
    }

    /// The body has come whole.
    pub(super) fn finish(&mut self, headers: &mut HeaderMap) {
        let mut message = Vec::new();
        grpc::encode_message(&self.body, &mut message);
        headers.set(Known::GrpcMessage, &message);
        let code = Code::from_http(headers.status().unwrap_or(0));
        headers.set_number(Known::GrpcStatus, code.0);
        headers.set_number(Known::ContentLength, 0);
    }
}
