//! The [Connect protocol](https://connectrpc.com/docs/protocol), as far as it is counted.

use nuncio_http::grpc::FrameCounter;
use nuncio_http::{HeaderMap, Known};

/// The flag of the message that ends a stream: a JSON object with the call's error, if there is one.
const END_OF_STREAM: u8 = 0x2;

/// Most that is kept of that object, in bytes; of a longer one nothing is understood.
const MOST_END: usize = 16 << 10;

/// A call with length-prefixed messages.
pub(super) fn is_streaming_request(headers: &HeaderMap) -> bool {
    headers.contains(Known::Path) && has_streaming_type(headers)
}

/// A call with plain messages.
pub(super) fn is_unary_request(headers: &HeaderMap) -> bool {
    headers.contains(Known::Path) && headers.contains("connect-protocol-version")
}

pub(super) fn is_streaming_response(headers: &HeaderMap) -> bool {
    headers.status() == Some(200) && has_streaming_type(headers)
}

fn has_streaming_type(headers: &HeaderMap) -> bool {
    headers
        .get(Known::ContentType)
        .is_some_and(|kind| kind.starts_with(b"application/connect+"))
}

/// Counts the messages of a streaming response, and finds out how it ended.
#[derive(Default)]
pub(super) struct ConnectResponse {
    messages: FrameCounter,
    end: Vec<u8>,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Outcome {
    /// The last message has not come whole.
    #[default]
    Unknown,
    Success,
    Failure,
}

impl ConnectResponse {
    /// Returns how many messages began in a piece of the body; the one that ends the stream does not count.
    pub(super) fn inspect(&mut self, piece: &[u8]) -> u64 {
        let Self {
            messages,
            end,
            outcome,
        } = self;
        let mut ends = 0;
        let begun = messages.inspect_with(piece, |step, body| {
            if step.flags & END_OF_STREAM == 0 {
                return;
            }
            ends += u64::from(step.begins);
            let room = MOST_END + 1 - end.len().min(MOST_END + 1);
            end.extend_from_slice(&body[..body.len().min(room)]);
            if step.ends && *outcome == Outcome::Unknown {
                *outcome = outcome_of(end);
                *end = Vec::new();
            }
        });
        begun - ends
    }

    /// Whether the call has ended without an error.
    pub(super) fn succeeded(&self) -> bool {
        self.outcome == Outcome::Success
    }
}

fn outcome_of(end: &[u8]) -> Outcome {
    match serde_json::from_slice::<serde_json::Value>(end) {
        Ok(serde_json::Value::Object(fields)) if !fields.contains_key("error") => Outcome::Success,
        _ => Outcome::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
        let len = (message.len() as u32).to_be_bytes();
        [&[flags], &len[..], message].concat()
    }

    fn run(frames: &[Vec<u8>], size: usize) -> (u64, bool) {
        let mut response = ConnectResponse::default();
        let body = frames.concat();
        let messages = body.chunks(size).map(|piece| response.inspect(piece)).sum();
        (messages, response.succeeded())
    }

    #[test]
    fn the_last_message_tells_how_the_call_ended() {
        let message = frame(0, b"hello");
        for size in [1, 3, 1000] {
            let ends = |end: &[u8]| run(&[message.clone(), frame(2, end)], size);
            assert_eq!(ends(b"{}"), (1, true));
            assert_eq!(ends(br#"{"metadata":{}}"#), (1, true));
            assert_eq!(ends(br#"{"error":{"code":"unavailable"}}"#), (1, false));
            assert_eq!(ends(b"rubbish"), (1, false));
            assert_eq!(
                run(std::slice::from_ref(&message), size),
                (1, false),
                "it never ended"
            );
        }
    }

    #[test]
    fn an_endless_end_is_not_kept() {
        let mut response = ConnectResponse::default();
        response.inspect(&[2, 0xff, 0xff, 0xff, 0xff]);
        for _ in 0..100 {
            response.inspect(&[b' '; 1000]);
        }
        assert!(response.end.capacity() <= 4 * MOST_END);
    }
}
