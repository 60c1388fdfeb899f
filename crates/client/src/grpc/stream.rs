//! [`GrpcStream`]: one gRPC call.

use std::future::poll_fn;
use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_http::grpc::{self, Code, FrameDecoder, FrameError, FrameHeader};
use nuncio_http::{Event, HeaderMap, Message as HttpMessage};
use prost::Message;

use super::status::GrpcStatus;
use crate::http::{CallError, HttpCall};

/// One call, of any kind: messages go out with [`Self::send`], come in with [`Self::poll`] or [`Self::message`]. Dropped
/// before its end, it is cancelled.
#[derive(Debug)]
pub struct GrpcStream {
    state: State,
    decoder: FrameDecoder,
    /// The response; `data` is what was received and is not yet taken apart.
    response: HttpMessage,
    /// The present message, as far as it has come.
    partial: Buffer,
    end: Option<Ended>,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a stream is open nearly all its life"
)]
enum State {
    Open(HttpCall),
    /// Over, and how.
    Ended(GrpcStatus),
}

/// The response has come whole; what `response.data` still holds comes before its status does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// With trailers.
    Trailers,
    /// Without.
    Body,
}

/// What [`GrpcStream::poll`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcEvent {
    /// The response has begun: see [`GrpcStream::initial_metadata`].
    Headers,
    /// A message, in the buffer that was handed in.
    Message,
    /// The call is over: see [`GrpcStream::trailing_metadata`].
    End(GrpcStatus),
}

impl GrpcStream {
    pub(super) fn new(call: Result<HttpCall, CallError>, max_receive: u32) -> GrpcStream {
        GrpcStream {
            state: match call {
                Ok(call) => State::Open(call),
                Err(error) => State::Ended(GrpcStatus::of_failure(&error, false)),
            },
            decoder: FrameDecoder::new(max_receive),
            response: HttpMessage::new(),
            partial: Buffer::new(),
            end: None,
        }
    }

    /// Sends a message.
    pub fn send(&mut self, message: &impl Message) {
        self.send_encoded(message, false);
    }

    /// Sends a message, the last one.
    pub fn send_last(&mut self, message: &impl Message) {
        self.send_encoded(message, true);
    }

    /// Ends the request: no further message follows.
    pub fn finish(&mut self) {
        if let State::Open(call) = &mut self.state {
            call.send_data(&mut Buffer::new(), true);
        }
    }

    fn send_encoded(&mut self, message: &impl Message, last: bool) {
        let State::Open(call) = &mut self.state else {
            return;
        };
        let Ok(len) = u32::try_from(message.encoded_len()) else {
            let status = GrpcStatus::new(Code::RESOURCE_EXHAUSTED, "message too large");
            self.state = State::Ended(status);
            return;
        };
        let mut data = Buffer::new();
        let out = data.writer(grpc::PREFIX_LEN + len as usize);
        out.extend_from_slice(&FrameHeader::plain(len).to_bytes());
        message.encode_raw(out);
        call.send_data(&mut data, last);
    }

    /// Bytes of messages that wait to be sent.
    pub fn unsent(&self) -> usize {
        match &self.state {
            State::Open(call) => call.unsent(),
            State::Ended(_) => 0,
        }
    }

    /// The response's headers; empty before [`GrpcEvent::Headers`].
    pub fn initial_metadata(&self) -> &HeaderMap {
        &self.response.headers
    }

    /// The response's trailers; empty unless the call ended with some.
    pub fn trailing_metadata(&self) -> &HeaderMap {
        &self.response.trailers
    }

    /// Sends what waits, and takes what has come: the next message is put into `message`, whose former content is lost.
    /// After [`GrpcEvent::End`] that event comes again and again.
    pub fn poll(&mut self, cx: &mut Context<'_>, message: &mut Buffer) -> Poll<GrpcEvent> {
        loop {
            let State::Open(call) = &mut self.state else {
                return Poll::Ready(self.ended());
            };
            match self
                .decoder
                .decode(&mut self.response.data, &mut self.partial)
            {
                Ok(Some(header)) if header.is_compressed() && header.len > 0 => {
                    return Poll::Ready(self.fail(Code::INTERNAL, "compressed message"));
                }
                Ok(Some(_)) => {
                    message.clear();
                    message.append(&mut self.partial);
                    return Poll::Ready(GrpcEvent::Message);
                }
                Ok(None) => {}
                Err(error @ FrameError::TooLarge(_)) => {
                    return Poll::Ready(self.fail(Code::RESOURCE_EXHAUSTED, &error.to_string()));
                }
                Err(error @ FrameError::Flags(_)) => {
                    return Poll::Ready(self.fail(Code::INTERNAL, &error.to_string()));
                }
            }
            if let Some(end) = self.end {
                let status = match end {
                    Ended::Trailers => GrpcStatus::of_trailers(&self.response.trailers),
                    Ended::Body => GrpcStatus::new(Code::UNKNOWN, "no trailers"),
                };
                self.state = State::Ended(status);
                continue;
            }
            match std::task::ready!(call.poll(cx, true, &mut self.response)) {
                Ok(event) => {
                    if let Some(event) = self.on_event(event) {
                        return Poll::Ready(event);
                    }
                }
                Err(error) => {
                    let status = GrpcStatus::of_failure(&error, call.has_started());
                    self.state = State::Ended(status);
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Option<GrpcEvent> {
        match event {
            Event::Headers { end_stream } => {
                let headers = &self.response.headers;
                let status = headers.status().unwrap_or(0);
                if end_stream && (status == 200 || grpc::status_in(headers).is_some()) {
                    // A trailers-only response.
                    self.state = State::Ended(GrpcStatus::of_trailers(headers));
                    self.response.trailers = std::mem::take(&mut self.response.headers);
                    return None;
                }
                if status != 200 {
                    let text = format!("HTTP status {status}");
                    return Some(self.fail(Code::from_http(status), &text));
                }
                Some(GrpcEvent::Headers)
            }
            Event::Data { end_stream } => {
                self.end = end_stream.then_some(Ended::Body);
                None
            }
            Event::Trailers => {
                self.end = Some(Ended::Trailers);
                None
            }
            Event::Informational | Event::Reset { .. } => None,
        }
    }

    fn ended(&self) -> GrpcEvent {
        match &self.state {
            State::Ended(status) => GrpcEvent::End(status.clone()),
            State::Open(_) => unreachable!("asked only when the call is over"),
        }
    }

    /// Cancels a call whose response cannot be understood.
    fn fail(&mut self, code: Code, message: &str) -> GrpcEvent {
        let status = GrpcStatus::new(code, message);
        self.state = State::Ended(status.clone());
        GrpcEvent::End(status)
    }

    /// The next message; `None` when the call has ended well.
    ///
    /// # Errors
    /// The status with which the call ended; `INTERNAL` when what has come is no message of this type.
    pub async fn message<M: Message + Default>(&mut self) -> Result<Option<M>, GrpcStatus> {
        let mut message = Buffer::new();
        loop {
            match poll_fn(|cx| self.poll(cx, &mut message)).await {
                GrpcEvent::Headers => {}
                GrpcEvent::Message => return self.decode(&message).map(Some),
                GrpcEvent::End(status) if status.is_ok() => return Ok(None),
                GrpcEvent::End(status) => return Err(status),
            }
        }
    }

    /// The answer of a unary call.
    pub(super) async fn only_message<M: Message + Default>(&mut self) -> Result<M, GrpcStatus> {
        let mut answer = None;
        while let Some(message) = self.message().await? {
            answer = Some(message);
        }
        answer.ok_or_else(|| GrpcStatus::new(Code::INTERNAL, "no message"))
    }

    fn decode<M: Message + Default>(&mut self, message: &Buffer) -> Result<M, GrpcStatus> {
        M::decode(message.as_slice()).map_err(|error| {
            let status = GrpcStatus::new(Code::INTERNAL, error.to_string());
            self.state = State::Ended(status.clone());
            status
        })
    }
}
