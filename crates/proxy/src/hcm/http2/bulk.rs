//! A body that goes from socket to socket: its DATA frames are a head of ours and a payload that stays in the kernel.
//!
//! One stream of a connection at a time may send like this. Between two frames everything else that waits goes first; in
//! the middle of a frame nothing else may be sent, whatever happens to the stream.

use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_http::h2::StreamKey;
use nuncio_net::Pipe;
use tokio::time::Instant;

use super::ServerConnection;
use crate::hcm::accepted::Ended;
use crate::hcm::stats::HttpStats;
use crate::stream::Stream;

/// With less of a window a pipe is not worth its calls.
const LEAST_WINDOW: usize = 64 * 1024;

/// A piece of a body on its way.
pub(super) struct Bulk {
    key: StreamKey,
    pipe: Pipe,
    /// What is not sent yet of the head of the present frame.
    head: Buffer,
    /// What is not sent yet of its payload.
    left: usize,
    /// The body ends with the pipe.
    end: bool,
    /// The stream is gone: the present frame is the last.
    orphan: bool,
}

impl Bulk {
    fn is_between_frames(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }
}

impl ServerConnection {
    /// Whether the stream may send its body through a pipe now.
    pub(super) fn takes_pipe(&self, key: StreamKey) -> bool {
        self.bulk.is_none() && self.down.io.can_splice() && self.codec.capacity(key) >= LEAST_WINDOW
    }

    /// Whether this stream's body is on its way through a pipe.
    pub(super) fn has_bulk(&self, key: StreamKey) -> bool {
        matches!(&self.bulk, Some(bulk) if bulk.key == key && !bulk.orphan)
    }

    pub(super) fn begin_bulk(&mut self, key: StreamKey, pipe: Pipe, end: bool) {
        self.bulk = Some(Bulk {
            key,
            pipe,
            head: Buffer::new(),
            left: 0,
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
            self.bulk.take_if(|bulk| bulk.is_between_frames());
        }
    }

    /// Bytes of the present frame that are not sent.
    pub(super) fn bulk_unsent(&self) -> usize {
        self.bulk
            .as_ref()
            .map_or(0, |bulk| bulk.head.len() + bulk.left)
    }

    /// Sends frames of the bulk until the socket is full, a window is closed, or something else waits for the gap between
    /// two frames. Returns whether bytes went out.
    pub(super) fn flush_bulk(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut sent = 0;
        loop {
            if self.bulk.as_ref().is_none_or(Bulk::is_between_frames) && !self.next_frame() {
                break;
            }
            let Some(bulk) = &mut self.bulk else { break };
            let io = &mut self.down.io;
            let is_head = !bulk.head.is_empty();
            let result = if is_head {
                io.poll_write_more(cx, &mut bulk.head)
            } else {
                // The next frame's head comes at once, or nothing does for a while.
                let more = bulk.pipe.len() > bulk.left && self.codec.capacity(bulk.key) > 0;
                io.poll_splice_part_out(cx, &mut bulk.pipe, bulk.left, more)
            };
            match result {
                Poll::Ready(Ok(count @ 1..)) => {
                    sent += count;
                    if !is_head {
                        bulk.left -= count;
                    }
                }
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

    /// Begins the next frame, if there is one and it is its turn.
    fn next_frame(&mut self) -> bool {
        let Some(bulk) = &mut self.bulk else {
            return false;
        };
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
