//! DATA frames that come in.

use nuncio_buffer::Buffer;

use super::{Connection, DataFrame, Reading};
use crate::h2::fault::{self, Failure};
use crate::h2::frame::{self, kind};
use crate::h2::stream::Half;
use crate::h2::{ErrorCode, Incoming, StreamError, StreamKey};
use crate::{Event, Message};

impl Connection {
    /// The stream that DATA is for; None if it is to be dropped (section 5.1, "closed").
    #[inline]
    pub(super) fn data_stream(&self, id: u32) -> Result<Option<StreamKey>, Failure> {
        if id == 0 {
            return Err(fault::farewell(
                ErrorCode::PROTOCOL_ERROR,
                "DATA: stream_id == 0",
            ));
        }
        let Some(key) = self.streams.find(id) else {
            if self.is_idle(id) {
                return Err(fault::farewell(
                    ErrorCode::PROTOCOL_ERROR,
                    "DATA: stream in idle",
                ));
            }
            return Ok(None);
        };
        match self.streams.get(key) {
            Some(stream) if stream.is_closed() => Ok(None),
            Some(stream) => match stream.recv {
                Half::Open => Ok(Some(key)),
                Half::Idle if stream.informed => Ok(Some(key)),
                Half::Idle => Err(fault::farewell(
                    ErrorCode::PROTOCOL_ERROR,
                    "DATA: stream not opened",
                )),
                Half::Closed => Err(fault::farewell(
                    ErrorCode::STREAM_CLOSED,
                    "DATA: stream in half-closed(remote)",
                )),
            },
            None => Ok(None),
        }
    }

    /// Whether the stream takes this frame: its window (`len` counts the padding) and its `content-length`.
    #[inline]
    pub(super) fn judge_data(
        &self,
        key: StreamKey,
        len: usize,
        data: DataFrame,
    ) -> Result<(), StreamError> {
        let Some(stream) = self.streams.get(key) else {
            return Ok(());
        };
        if stream.recv == Half::Idle {
            // A malformed message (section 8.1), of which an informational response has come.
            return Err(StreamError {
                code: ErrorCode::PROTOCOL_ERROR,
                details: fault::REMOTE_RESET,
                reason: "DATA before the final headers",
            });
        }
        if !stream.recv_window.allows(len) {
            return Err(StreamError {
                code: ErrorCode::FLOW_CONTROL_ERROR,
                details: fault::REMOTE_RESET,
                reason: "more DATA than the stream's window allows",
            });
        }
        if !stream.length_allows(data.left, data.end_stream) {
            return Err(StreamError {
                code: ErrorCode::PROTOCOL_ERROR,
                details: fault::REMOTE_RESET,
                reason: "body differs from content-length",
            });
        }
        Ok(())
    }

    /// The length byte and the padding of a DATA frame are consumed at once.
    pub(super) fn take_padding(&mut self, key: StreamKey, n: usize, out: &mut Buffer) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.recv_window.receive(n);
        if let Some(update) = stream.recv_window.consume(n) {
            frame::number(out, kind::WINDOW_UPDATE, stream.id, update);
            self.outbound.add(frame::HEAD + 4);
        }
    }

    /// Takes what there is of a DATA frame's payload.
    pub(super) fn more_data(
        &mut self,
        mut data: DataFrame,
        input: &mut Buffer,
        scratch: &mut Message,
        out: &mut Buffer,
    ) -> Option<Incoming> {
        let n = data.left.min(input.len());
        if n == 0 && data.left > 0 {
            return None;
        }
        data.left -= n;
        self.recv_window.receive(n);
        let done = data.left == 0;
        self.reading = match (done, data.padding) {
            (false, _) => Reading::Data(data),
            (true, 0) => Reading::Head,
            (true, padding) => Reading::Skip(padding),
        };
        // It may have been reset or released between two pieces, and the slot used again.
        let stream = data.stream.and_then(|(key, id)| {
            let stream = self.streams.get_mut(key)?;
            (stream.id == id && stream.recv == Half::Open).then_some((key, stream))
        });
        let Some((key, stream)) = stream else {
            input.consume(n);
            self.give_back(n, out);
            return Some(Incoming::Progress);
        };
        stream.recv_window.receive(n);
        stream.received += n as u64;
        input.move_to(&mut scratch.data, n);
        let end_stream = done && data.end_stream;
        if end_stream {
            self.close(key, true, false);
        } else if n == 0 {
            return Some(Incoming::Progress);
        }
        Some(Incoming::Stream {
            key,
            event: Event::Data { end_stream },
        })
    }

    /// `n` bytes of the connection's window need no memory (any more).
    #[inline]
    pub(super) fn give_back(&mut self, n: usize, out: &mut Buffer) {
        if let Some(update) = self.recv_window.consume(n) {
            frame::number(out, kind::WINDOW_UPDATE, 0, update);
            self.outbound.add(frame::HEAD + 4);
        }
    }

    /// The driver has passed on `n` body bytes: windows open again (WINDOW_UPDATE when half a window is due, as Envoy).
    pub fn consumed(&mut self, key: StreamKey, n: usize, out: &mut Buffer) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if self.failed.is_some() {
            return;
        }
        let n = n.min(stream.recv_window.held());
        if let Some(update) = stream.recv_window.consume(n)
            && stream.recv != Half::Closed
        {
            frame::number(out, kind::WINDOW_UPDATE, stream.id, update);
            self.outbound.add(frame::HEAD + 4);
        }
        self.give_back(n, out);
    }
}
