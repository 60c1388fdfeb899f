//! A body that goes from socket to socket: its DATA frames are a head of ours and a payload that stays in the kernel.
//!
//! Frames are put together in a pipe of their own, as many as it holds, and go out at once: the socket's lock, its pushes and
//! the client's wake-ups cost more than all else. One stream of a connection at a time may send like this. Between two lots of
//! frames everything else that waits goes first; in the middle of a lot nothing else may be sent, whatever happens to the stream.

use std::io;
use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_http::h2::StreamKey;
use nuncio_net::Pipe;
use tokio::time::Instant;

use super::{ServerConnection, TURN};
use crate::hcm::accepted::Ended;
use crate::hcm::stats::HttpStats;
use crate::stream::Stream;

/// With less of a window a pipe is not worth its calls.
const LEAST_WINDOW: usize = 64 * 1024;

/// A piece of a body on its way.
pub(super) struct Bulk {
    key: StreamKey,
    pipe: Pipe,
    /// What is not framed yet of the head of the present frame.
    head: Buffer,
    /// What is not framed yet of its payload.
    left: usize,
    /// Frames, the last one perhaps not complete.
    framed: Pipe,
    /// The body ends with the pipe.
    end: bool,
    /// The stream is gone: the present frame is the last.
    orphan: bool,
}

impl Bulk {
    fn is_in_frame(&self) -> bool {
        self.left > 0 || !self.head.is_empty()
    }

    fn is_between_lots(&self) -> bool {
        !self.is_in_frame() && self.framed.is_empty()
    }
}

impl Bulk {
    /// Frames more of the present frame. Returns whether that moved anything.
    fn frame(&mut self) -> io::Result<bool> {
        if !self.head.is_empty() {
            return self.framed.write(&mut self.head);
        }
        let moved = self.framed.append(&mut self.pipe, self.left)?;
        self.left -= moved;
        Ok(moved > 0)
    }
}

impl ServerConnection {
    /// Whether the stream may send its body through a pipe now. If so, a pipe for its frames is at hand.
    pub(super) fn takes_pipe(&mut self, key: StreamKey) -> bool {
        let may = self.bulk.is_none()
            && self.down.io.can_splice()
            && self.codec.capacity(key) >= LEAST_WINDOW;
        if may && self.frames.is_none() {
            self.frames = Pipe::take();
        }
        may && self.frames.is_some()
    }

    /// Whether this stream's body is on its way through a pipe.
    pub(super) fn has_bulk(&self, key: StreamKey) -> bool {
        matches!(&self.bulk, Some(bulk) if bulk.key == key && !bulk.orphan)
    }

    /// [`Self::takes_pipe`] has said yes, and `pipe` came of it.
    pub(super) fn begin_bulk(&mut self, key: StreamKey, pipe: Pipe, end: bool) {
        let framed = self.frames.take();
        debug_assert!(framed.is_some());
        self.bulk = framed.map(|framed| Bulk {
            key,
            pipe,
            head: Buffer::new(),
            left: 0,
            framed,
            end,
            orphan: false,
        });
    }

    /// The stream is gone.
    pub(super) fn drop_bulk(&mut self, key: StreamKey) {
        if let Some(bulk) = &mut self.bulk
            && bulk.key == key
        {
            bulk.orphan = true;
            self.bulk.take_if(|bulk| bulk.is_between_lots());
        }
    }

    /// Bytes of frames that are begun and not sent.
    pub(super) fn bulk_unsent(&self) -> usize {
        self.bulk
            .as_ref()
            .map_or(0, |bulk| bulk.head.len() + bulk.left + bulk.framed.len())
    }

    /// Sends frames of the bulk until the socket is full, a window is closed, or something else waits for the gap between
    /// two lots. Returns whether bytes went out.
    pub(super) fn flush_bulk(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut sent = 0;
        loop {
            let lot = self.frame_lot();
            if matches!(lot, Ok(false)) {
                break;
            }
            let Some(bulk) = &mut self.bulk else { break };
            // The next lot comes at once, or nothing does for a while.
            let more =
                bulk.left > 0 || (!bulk.pipe.is_empty() && self.codec.capacity(bulk.key) > 0);
            let result = match lot {
                Ok(_) => self.down.io.poll_splice_out(cx, &mut bulk.framed, more),
                Err(error) => Poll::Ready(Err(error)),
            };
            match result {
                Poll::Ready(Ok(count @ 1..)) => sent += count,
                Poll::Ready(end) => {
                    log::debug!("[C{}] write error: {end:?}", self.down.info.id);
                    self.close_now(Ended::ByPeer, "downstream_remote_disconnect", now);
                    return false;
                }
                Poll::Pending => {
                    self.blocked.write = true;
                    break;
                }
            }
        }
        if sent > 0 {
            self.hcm
                .stats
                .add(HttpStats::DOWNSTREAM_CX_TX_BYTES_TOTAL, sent as u64);
            if let Some(stream) = self.bulk_stream() {
                stream.touch(now);
            }
        }
        sent > 0
    }

    /// Puts frames together, unless some wait already. Returns whether there are any to send.
    fn frame_lot(&mut self) -> io::Result<bool> {
        // Where others may want the connection, they do not wait for more than a turn.
        let most = match self.open > 1 {
            true => TURN,
            false => usize::MAX,
        };
        let mut moved = self.bulk_framed() == 0;
        while moved {
            let framed = self.bulk_framed();
            moved = match &mut self.bulk {
                Some(bulk) if bulk.is_in_frame() => bulk.frame()?,
                _ => framed < most && self.next_frame(),
            };
        }
        Ok(self.bulk_framed() > 0)
    }

    fn bulk_framed(&self) -> usize {
        self.bulk.as_ref().map_or(0, |bulk| bulk.framed.len())
    }

    /// Begins the next frame, if there is one and it is its turn.
    fn next_frame(&mut self) -> bool {
        let Some(bulk) = &mut self.bulk else {
            return false;
        };
        let is_over = bulk.orphan || bulk.pipe.is_empty();
        if is_over && !bulk.framed.is_empty() {
            return false;
        }
        if bulk.orphan {
            self.bulk = None;
            return false;
        }
        if bulk.pipe.is_empty() {
            let (key, end) = (bulk.key, bulk.end);
            self.bulk = None;
            if let Some(stream) = &mut self.slots[key.index()].stream {
                stream.out.sent_end |= end;
            }
            self.make_due(key.0);
            return false;
        }
        if !self.write.is_empty() {
            return false;
        }
        bulk.left = self
            .codec
            .send_data_head(bulk.key, bulk.pipe.len(), bulk.end, &mut bulk.head);
        let wire = (bulk.head.len() + bulk.left) as u64;
        if let Some(stream) = self.bulk_stream() {
            stream.info.wire_bytes_sent += wire;
        }
        wire > 0
    }

    fn bulk_stream(&mut self) -> Option<&mut Stream> {
        let key = self.bulk.as_ref().filter(|bulk| !bulk.orphan)?.key;
        self.slots[key.index()].stream.as_deref_mut()
    }
}
