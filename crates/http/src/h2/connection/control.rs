//! Control frames that come in, but SETTINGS.

use nuncio_buffer::Buffer;

use super::{Connection, Goodbye};
use crate::Event;
use crate::h2::fault::{self, Failure};
use crate::h2::frame::{self, Head, MAX_31, flag, kind};
use crate::h2::stream::Stream;
use crate::h2::window::SendWindow;
use crate::h2::{ErrorCode, Incoming, Role, StreamKey};

pub(super) fn wrong_size(reason: &'static str) -> Failure {
    fault::wordless(ErrorCode::FRAME_SIZE_ERROR, reason)
}

pub(super) fn protocol(reason: &'static str) -> Failure {
    fault::silent(ErrorCode::PROTOCOL_ERROR, reason)
}

impl Connection {
    pub(super) fn on_window_update(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Incoming, Failure> {
        if payload.len() != 4 {
            return Err(wrong_size("WINDOW_UPDATE: wrong size"));
        }
        self.inbound.window_updates += 1;
        let paid_for = u64::from(self.open)
            + u64::from(self.settings.max_window_updates_per_data_frame)
                * self.inbound.data_frames_sent;
        if self.inbound.window_updates > paid_for.saturating_mul(2).saturating_add(5) {
            self.counts().inbound_window_update_frames_flood += 1;
            return Err(fault::flood(
                "codec_error:Too_many_WINDOW_UPDATE_frames",
                "Too many WINDOW_UPDATE frames",
            ));
        }
        let more = frame::u32_at(payload, 0) & MAX_31;
        if more == 0 {
            let failure = protocol("WINDOW_UPDATE: window_size_increment == 0");
            return Err(self.on_known_stream(head.stream, failure));
        }
        if head.stream == 0 {
            grow(&mut self.send_window, more, None)?;
            return Ok(Incoming::Progress);
        }
        let Some(key) = self.streams.find(head.stream) else {
            if self.is_idle(head.stream) {
                return Err(protocol("WINDOW_UPDATE to idle stream"));
            }
            return Ok(Incoming::Progress);
        };
        if let Some(stream) = self.streams.get_mut(key)
            && !stream.is_closed()
        {
            grow(&mut stream.send_window, more, Some(key))?;
            if stream.blocked && !stream.queued && stream.send_window.available() > 0 {
                stream.queued = true;
                self.writable.push_back((key, stream.id));
            }
        }
        Ok(Incoming::Progress)
    }

    /// A frame that nghttp2 calls invalid: Envoy gives its stream, if there is one, details of its own.
    #[cold]
    pub(super) fn on_known_stream(&self, id: u32, mut failure: Failure) -> Failure {
        let open = |key: &StreamKey| {
            self.streams
                .get(*key)
                .is_some_and(|stream| !stream.is_closed())
        };
        failure.error.stream = self.streams.find(id).filter(open);
        failure
    }

    pub(super) fn on_rst_stream(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Incoming, Failure> {
        if payload.len() != 4 {
            return Err(wrong_size("RST_STREAM: wrong size"));
        }
        if head.stream == 0 {
            return Err(protocol("RST_STREAM: stream_id == 0"));
        }
        if self.role == Role::Server && !self.resets.take(self.now) {
            return Err(fault::wordless(
                ErrorCode::INTERNAL_ERROR,
                "too many RST_STREAM frames",
            ));
        }
        let Some(key) = self.streams.find(head.stream) else {
            if self.is_idle(head.stream) {
                return Err(protocol("RST_STREAM: stream in idle"));
            }
            return Ok(Incoming::Progress);
        };
        if self.streams.get(key).is_none_or(Stream::is_closed) {
            return Ok(Incoming::Progress);
        }
        self.counts().rx_reset += 1;
        self.close(key, true, true);
        let code = u64::from(frame::u32_at(payload, 0));
        Ok(Incoming::Stream {
            key,
            event: Event::Reset { code },
        })
    }

    pub(super) fn on_ping(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Buffer,
    ) -> Result<Incoming, Failure> {
        let Ok(opaque) = <[u8; 8]>::try_from(payload) else {
            return Err(wrong_size("PING: wrong size"));
        };
        if head.stream != 0 {
            return Err(protocol("PING: stream_id != 0"));
        }
        if head.has(flag::ACK) {
            return Ok(Incoming::Pong {
                opaque: u64::from_be_bytes(opaque),
            });
        }
        frame::head(out, kind::PING, flag::ACK, 0, 8);
        out.append_slice(payload);
        self.outbound.add_control(frame::HEAD + 8);
        Ok(Incoming::Progress)
    }

    /// Priorities are ignored, as they are by Envoy, but counted.
    pub(super) fn on_priority(&mut self, head: Head) -> Result<Incoming, Failure> {
        if head.len != 5 {
            return Err(wrong_size("PRIORITY: wrong size"));
        }
        self.inbound.priorities += 1;
        let per_stream = u64::from(self.settings.max_priority_frames_per_stream);
        if self.inbound.priorities > per_stream * (1 + u64::from(self.open)) {
            self.counts().inbound_priority_frames_flood += 1;
            return Err(fault::flood(
                "codec_error:Too_many_PRIORITY_frames",
                "Too many PRIORITY frames",
            ));
        }
        Ok(Incoming::Progress)
    }

    #[cold]
    pub(super) fn on_goaway(&mut self, head: Head, payload: &[u8]) -> Result<Incoming, Failure> {
        if payload.len() < 8 {
            return Err(wrong_size("GOAWAY: wrong size"));
        }
        if head.stream != 0 {
            return Err(protocol("GOAWAY: stream_id != 0"));
        }
        let last_stream = frame::u32_at(payload, 0) & MAX_31;
        if self
            .goodbye_received
            .is_some_and(|before| last_stream > before.last_stream)
        {
            return Err(protocol("GOAWAY: invalid last_stream_id"));
        }
        let code = frame::u32_at(payload, 4);
        self.goodbye_received = Some(Goodbye { last_stream });
        if self.role == Role::Client {
            self.refuse_above(last_stream);
        }
        Ok(Incoming::GoAway { last_stream, code })
    }

    /// Our streams that the peer will not process end, to be tried elsewhere.
    fn refuse_above(&mut self, last_stream: u32) {
        for (key, stream) in self.streams.iter_mut() {
            if stream.is_closed() || (stream.id != 0 && stream.id <= last_stream) {
                continue;
            }
            self.open -= 1;
            stream.end();
            self.events.push_back(Incoming::Stream {
                key,
                event: Event::Reset {
                    code: u64::from(ErrorCode::REFUSED_STREAM.0),
                },
            });
        }
    }
}

fn grow(window: &mut SendWindow, by: u32, stream: Option<StreamKey>) -> Result<(), Failure> {
    window.change(i64::from(by)).map_err(|_| {
        let reason = "WINDOW_UPDATE: window size overflow";
        match stream {
            Some(key) => {
                fault::on_stream(key, ErrorCode::FLOW_CONTROL_ERROR, fault::UNKNOWN, reason)
            }
            None => fault::silent(ErrorCode::FLOW_CONTROL_ERROR, reason),
        }
    })
}
