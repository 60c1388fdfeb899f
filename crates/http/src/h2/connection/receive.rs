//! From bytes to frames.

use nuncio_buffer::Buffer;

use super::{Connection, DataFrame, Reading};
use crate::Message;
use crate::h2::fault::{self, Failure};
use crate::h2::frame::{self, Head, flag, kind};
use crate::h2::{ErrorCode, Incoming, PREFACE};

type Step = Result<Option<Incoming>, Failure>;

impl Connection {
    /// Takes one frame, or a part of a DATA frame.
    #[inline]
    pub(super) fn step(
        &mut self,
        input: &mut Buffer,
        scratch: &mut Message,
        out: &mut Buffer,
    ) -> Step {
        loop {
            match self.reading {
                Reading::Head => {
                    let Some(head) = Head::parse(input) else {
                        return Ok(None);
                    };
                    self.check_head(head)?;
                    match head.kind {
                        kind::DATA => {
                            if let Some(step) = self.begin_data(head, input, out)? {
                                return Ok(Some(step));
                            }
                            if matches!(self.reading, Reading::Head) {
                                return Ok(None);
                            }
                        }
                        kind::HEADERS..=kind::CONTINUATION => {
                            let end = frame::HEAD + head.len;
                            if input.len() < end {
                                return Ok(None);
                            }
                            let payload = &input.as_slice()[frame::HEAD..end];
                            let incoming = self.on_frame(head, payload, scratch, out)?;
                            input.consume(end);
                            return Ok(Some(incoming));
                        }
                        // Section 5.5: unknown frames are ignored.
                        _ => {
                            input.consume(frame::HEAD);
                            self.reading = Reading::Skip(head.len);
                        }
                    }
                }
                Reading::Data(data) => return Ok(self.more_data(data, input, scratch, out)),
                Reading::Skip(left) => {
                    let n = left.min(input.len());
                    input.consume(n);
                    if n < left {
                        self.reading = Reading::Skip(left - n);
                        return Ok(None);
                    }
                    self.reading = Reading::Head;
                }
                Reading::Preface(done) => {
                    if !self.read_preface(done, input, out)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Section 3.4. Like Envoy, a server says nothing to a peer that speaks something else.
    #[cold]
    fn read_preface(
        &mut self,
        done: usize,
        input: &mut Buffer,
        out: &mut Buffer,
    ) -> Result<bool, Failure> {
        let rest = &PREFACE[done..];
        let n = rest.len().min(input.len());
        if input.as_slice()[..n] != rest[..n] {
            return Err(fault::bad_preface());
        }
        if done == 0 && n > 0 {
            self.send_settings(out);
        }
        input.consume(n);
        let complete = n == rest.len();
        self.reading = if complete {
            Reading::Head
        } else {
            Reading::Preface(done + n)
        };
        Ok(complete)
    }

    /// What can be judged by the head alone. May be called again for the same frame.
    #[inline]
    fn check_head(&mut self, head: Head) -> Result<(), Failure> {
        if head.len > self.max_payload {
            return Err(fault::farewell(
                ErrorCode::FRAME_SIZE_ERROR,
                "too large frame size",
            ));
        }
        if !self.peer.seen && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(fault::farewell(
                ErrorCode::PROTOCOL_ERROR,
                "SETTINGS expected",
            ));
        }
        if let Some(block) = &self.block
            && (head.kind != kind::CONTINUATION || head.stream != block.id)
        {
            return Err(fault::farewell(
                ErrorCode::PROTOCOL_ERROR,
                "unexpected non-CONTINUATION frame or stream_id is invalid",
            ));
        }
        Ok(())
    }

    #[inline]
    fn on_frame(
        &mut self,
        head: Head,
        payload: &[u8],
        scratch: &mut Message,
        out: &mut Buffer,
    ) -> Result<Incoming, Failure> {
        match head.kind {
            kind::HEADERS => self.on_headers(head, payload, scratch, out),
            kind::CONTINUATION => self.on_continuation(head, payload, scratch, out),
            kind::WINDOW_UPDATE => self.on_window_update(head, payload),
            kind::RST_STREAM => self.on_rst_stream(head, payload),
            kind::SETTINGS => self.on_settings(head, payload, out),
            kind::PING => self.on_ping(head, payload, out),
            kind::GOAWAY => self.on_goaway(head, payload),
            kind::PRIORITY => self.on_priority(head),
            // Clients never send one (section 8.4), and we forbid servers to (`SETTINGS_ENABLE_PUSH`).
            _ => Err(self.on_known_stream(
                head.stream,
                fault::silent(ErrorCode::PROTOCOL_ERROR, "PUSH_PROMISE is not allowed"),
            )),
        }
    }

    /// DATA comes in pieces. None: more bytes are needed, or (if `reading` changed) its payload is next.
    fn begin_data(&mut self, head: Head, input: &mut Buffer, out: &mut Buffer) -> Step {
        let stream = self.data_stream(head.stream)?;
        let mut overhead = 0;
        if head.has(flag::PADDED) {
            if head.len == 0 {
                return Err(fault::farewell(
                    ErrorCode::PROTOCOL_ERROR,
                    "DATA: insufficient padding space",
                ));
            }
            let Some(&padding) = input.get(frame::HEAD) else {
                return Ok(None);
            };
            overhead = 1 + usize::from(padding);
            if overhead > head.len {
                return Err(fault::farewell(
                    ErrorCode::PROTOCOL_ERROR,
                    "DATA: invalid padding",
                ));
            }
        }
        let mut data = DataFrame {
            stream: stream.map(|key| (key, head.stream)),
            left: head.len - overhead,
            padding: overhead.saturating_sub(1),
            end_stream: head.has(flag::END_STREAM),
        };
        self.count_payload(data.left, data.end_stream, stream)?;
        if !self.recv_window.allows(head.len) {
            return Err(fault::wordless(
                ErrorCode::FLOW_CONTROL_ERROR,
                "more DATA than the connection's window allows",
            ));
        }
        let mut failed = None;
        if let Some(key) = stream
            && let Err(error) = self.judge_data(key, head.len, data)
        {
            failed = Some(self.fail_stream(key, error, out)?);
            data.stream = None;
        }
        input.consume(frame::HEAD + usize::from(overhead > 0));
        if overhead > 0 {
            self.recv_window.receive(overhead);
            self.give_back(overhead, out);
            if let Some((key, _)) = data.stream {
                self.take_padding(key, overhead, out);
            }
        }
        self.reading = Reading::Data(data);
        Ok(failed)
    }
}
