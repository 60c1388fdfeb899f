//! gRPC health checks: `grpc.health.v1.Health/Check`.

use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_http::grpc::{
    Code, FrameDecoder, FrameHeader, format_timeout, is_grpc_response, status_in,
};
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_route::HeaderMutations;
use nuncio_sdk::Protocol;
use prost::Message as _;

use super::exchange::{Broken, Heard, HttpConnection};
use super::probe::After;
use super::{Failure, Finding, Target};

/// `GrpcHealthCheck`.
#[derive(Clone, Debug)]
pub(crate) struct GrpcCheck {
    /// Empty: the server as a whole.
    pub(crate) service_name: String,
    /// Empty: the cluster's name.
    pub(crate) authority: String,
    /// `initial_metadata`
    pub(crate) metadata: Option<Arc<HeaderMutations>>,
}

/// `HealthCheckResponse.ServingStatus.SERVING`
const SERVING: i32 = 1;
/// The longest answer, in bytes: it has one small number.
const MAX_ANSWER: u32 = 4096;

/// `grpc.health.v1.HealthCheckResponse`
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

impl GrpcCheck {
    /// Asks; what becomes of the connection stands beside the finding.
    pub(super) async fn ask(
        &self,
        connection: &mut HttpConnection,
        target: &Target,
        timeout: std::time::Duration,
    ) -> (Finding, After) {
        let mut headers: HeaderMap = [
            (":method", "POST"),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", target.authority(&self.authority)),
            (":scheme", "http"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "Envoy/HC"),
        ]
        .into_iter()
        .collect();
        target.change(&mut headers, self.metadata.as_deref(), Protocol::Http2);
        headers.set("grpc-timeout", format_timeout(timeout).as_bytes());
        match self.exchange(connection, &headers).await {
            Ok(finding) if connection.is_reusable() => (finding, After::Keep),
            Ok(finding) => (finding, After::Close),
            Err(broken) => {
                let after = After::of(&broken, connection);
                (Finding::Unhealthy(Failure::Network), after)
            }
        }
    }

    async fn exchange(
        &self,
        connection: &mut HttpConnection,
        headers: &HeaderMap,
    ) -> Result<Finding, Broken> {
        connection.send(headers, &self.request())?;
        let mut reading = Reading::new();
        let mut message = Message::new();
        loop {
            match connection.hear(&mut message).await? {
                Heard::GoingAway { code: 0 } => {}
                Heard::GoingAway { .. } => return Err(connection.close_on_goaway()),
                Heard::Answer(event) => {
                    if let Some(serves) = reading.on(event, &mut message) {
                        // Without an end of the answer: nobody waits for the rest.
                        connection.abandon();
                        return Ok(match serves {
                            true => Finding::Healthy { degraded: false },
                            false => Finding::Unhealthy(Failure::UNEXPECTED),
                        });
                    }
                }
            }
        }
    }

    /// `HealthCheckRequest { service = 1 }`, framed.
    fn request(&self) -> Vec<u8> {
        let mut message = Vec::new();
        if !self.service_name.is_empty() {
            prost::encoding::string::encode(1, &self.service_name, &mut message);
        }
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        [&FrameHeader::plain(length).to_bytes(), message.as_slice()].concat()
    }
}

/// An answer, as far as it has come.
struct Reading {
    frames: FrameDecoder,
    partial: Buffer,
    /// The one message that there may be; empty ones do not count.
    response: Option<HealthCheckResponse>,
}

impl Reading {
    fn new() -> Self {
        Self {
            frames: FrameDecoder::new(MAX_ANSWER),
            partial: Buffer::new(),
            response: None,
        }
    }

    /// Takes in a part of the answer. `Some` when that is enough: whether the host serves.
    fn on(&mut self, event: Event, message: &mut Message) -> Option<bool> {
        match event {
            Event::Informational => None,
            // With an end, it may say that all is well; but then it has no message.
            Event::Headers { end_stream } => {
                let goes_on = !end_stream && is_grpc_response(&message.headers, false);
                (!goes_on).then_some(false)
            }
            Event::Data { end_stream: true } | Event::Reset { .. } => Some(false),
            Event::Data { end_stream: false } => {
                let read = self.on_data(&mut message.data);
                read.is_none().then_some(false)
            }
            Event::Trailers => {
                let is_good = matches!(status_in(&message.trailers), Some(Ok(Code::OK)));
                let status = self.response.as_ref().map(|response| response.status);
                Some(is_good && status == Some(SERVING))
            }
        }
    }

    /// `None` when the answer is none.
    fn on_data(&mut self, data: &mut Buffer) -> Option<()> {
        while let Some(header) = self.frames.decode(data, &mut self.partial).ok()? {
            if header.len == 0 {
                continue;
            }
            if header.flags != 0 || self.response.is_some() {
                return None;
            }
            self.response = Some(HealthCheckResponse::decode(self.partial.as_slice()).ok()?);
            self.partial.clear();
        }
        Some(())
    }
}

/// Reads an answer that comes in these pieces, behind good headers, as far as it is one.
pub(crate) fn read_grpc_answer<'a>(pieces: impl Iterator<Item = &'a [u8]>) {
    let mut reading = Reading::new();
    let mut message = Message::new();
    for piece in pieces {
        message.data.append_slice(piece);
        let event = Event::Data { end_stream: false };
        if reading.on(event, &mut message).is_some() {
            return;
        }
        assert!(reading.partial.len() <= MAX_ANSWER as usize);
        assert!(message.data.is_empty(), "all that is not refused is taken");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is made of an answer that comes in these pieces.
    fn judge(pieces: &[&[u8]], status: &str) -> Option<bool> {
        let mut reading = Reading::new();
        let mut message = Message::new();
        message.headers = [(":status", "200"), ("content-type", "application/grpc")]
            .into_iter()
            .collect();
        let mut found = reading.on(Event::Headers { end_stream: false }, &mut message);
        for piece in pieces {
            message.data.append_slice(piece);
            found = found.or(reading.on(Event::Data { end_stream: false }, &mut message));
        }
        message.trailers = [("grpc-status", status)].into_iter().collect();
        found.or(reading.on(Event::Trailers, &mut message))
    }

    #[test]
    fn only_serving_is_healthy() {
        for (pieces, status, serves) in [
            (&[b"\0\0\0\0\x02\x08\x01".as_slice()][..], "0", true),
            (&[b"\0\0\0", b"\0\x02\x08", b"\x01"], "0", true),
            (&[b"\0\0\0\0\0\0\0\0\0\x02\x08\x01\0\0\0\0\0"], "0", true),
            // Fields that nobody knows, and a number in a long form.
            (&[b"\0\0\0\0\x08\x12\x01a\x08\x81\0\x18\x05"], "0", true),
            (&[b"\0\0\0\0\x02\x08\x02"], "0", false),
            (&[b"\0\0\0\0\x02\x08\x01"], "5", false),
            (&[b"\x01\0\0\0\x02\x08\x01"], "0", false),
            (&[b"\0\0\0\0\x09\x08\x01"], "0", false),
            (&[b"\0\0\0\0\0"], "0", false),
            (&[], "12", false),
        ] {
            assert_eq!(judge(pieces, status), Some(serves), "{pieces:?} {status}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_not_read_to_its_end() {
        for pieces in [
            &[b"\0\0\0\0\x02\x08\x01\0\0\0\0\x02\x08\x01".as_slice()][..],
            &[b"\x07\0\0\0\x02\x08\x01"],
            &[b"\0\0\0\0\x02\xff\xff"],
            &[b"\0\xff\0\0\0"],
        ] {
            let mut reading = Reading::new();
            let mut message = Message::new();
            message.data.append_slice(pieces[0]);
            let found = reading.on(Event::Data { end_stream: false }, &mut message);
            assert_eq!(found, Some(false), "{pieces:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_bounded(pieces in prop::collection::vec(prop::collection::vec(0..=3u8, 0..80), 0..200)) {
            read_grpc_answer(pieces.iter().map(Vec::as_slice));
        }
    }

    #[test]
    fn the_request_names_the_service() {
        let check = |service: &str| GrpcCheck {
            service_name: service.into(),
            authority: String::new(),
            metadata: None,
        };
        assert_eq!(check("svc").request(), b"\0\0\0\0\x05\x0a\x03svc");
        assert_eq!(check("").request(), b"\0\0\0\0\0");
    }
}
