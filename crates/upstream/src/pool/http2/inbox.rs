//! [`Inbox`]: what has come for one stream and was not yet taken.

use std::collections::VecDeque;
use std::mem;
use std::task::{Context, Waker};

use nuncio_buffer::Buffer;
use nuncio_http::{Event, HeaderMap, Message};

use super::stream::StreamReset;

/// Pieces of a body are put together up to so many bytes, which is what is taken at once: they fit pooled storage.
const PIECE: usize = 56 * 1024;

/// What has come for a stream. Used again by the next stream with the same key: its memory stays.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// A stream has this inbox.
    open: bool,
    informational: Option<Box<HeaderMap>>,
    /// An informational response has come: of several only the first counts, as in Envoy.
    informed: bool,
    headers: HeaderMap,
    /// Body bytes. In pieces, so that those that wait for a slow client are not copied when more come.
    pieces: VecDeque<Buffer>,
    trailers: HeaderMap,
    has_headers: bool,
    /// They are all there is. Where nothing but the end follows, it is told apart: what the client gets does not depend on
    /// how frames came.
    headers_end: bool,
    has_trailers: bool,
    /// The message is complete.
    end: bool,
    /// The end was taken.
    ended: bool,
    reset: Option<StreamReset>,
    /// Bytes on the wire so far, frame heads included, and those of header blocks among them.
    pub(super) bytes: u64,
    pub(super) header_bytes: u64,
    /// The stream is on the list of those who want room.
    pub(super) wants_room: bool,
    /// Who takes it.
    waker: Option<Waker>,
}

/// Whether Envoy knows what an informational response says.
fn is_passed_on(headers: &HeaderMap) -> bool {
    matches!(headers.status(), Some(100 | 102..=104))
}

impl Inbox {
    /// A stream begins.
    pub(super) fn open(&mut self) {
        self.open = true;
    }

    /// The stream is over.
    pub(super) fn close(&mut self) {
        self.headers.clear();
        self.trailers.clear();
        self.pieces.clear();
        *self = Self {
            headers: mem::take(&mut self.headers),
            trailers: mem::take(&mut self.trailers),
            pieces: mem::take(&mut self.pieces),
            ..Self::default()
        };
    }

    /// The stream or its connection has failed. Whether that cuts it: what has come whole is still to be taken.
    pub(super) fn fail(&mut self, why: StreamReset) -> bool {
        let cut = self.open && !self.end && self.reset.is_none();
        if cut {
            self.reset = Some(why);
            self.wake();
        }
        cut
    }

    /// Body bytes have come: the first `n` of `data`.
    pub(super) fn put_data(&mut self, data: &mut Buffer, n: usize) {
        if !self.open || n == 0 {
            return data.consume(n);
        }
        match self.pieces.back_mut() {
            Some(last) if last.len() + n <= PIECE => data.move_to(last, n),
            // With its storage, if it fills that about.
            _ if n == data.len() && 2 * n > data.capacity() => {
                self.pieces.push_back(mem::take(data));
            }
            _ => {
                self.pieces.push_back(Buffer::from(&data.as_slice()[..n]));
                data.consume(n);
            }
        }
    }

    /// Something has come that took so many bytes on the wire.
    #[inline]
    pub(super) fn count(&mut self, bytes: u64, event: Event) {
        self.bytes += bytes;
        if let Event::Headers { .. } | Event::Informational | Event::Trailers = event {
            self.header_bytes += bytes;
        }
    }

    /// Headers, trailers or an end have come; bytes were put by [`Self::put_data`].
    pub(super) fn put(&mut self, event: Event, message: &mut Message) {
        match event {
            Event::Headers { end_stream } => {
                mem::swap(&mut self.headers, &mut message.headers);
                self.has_headers = true;
                self.headers_end = end_stream;
                self.end = end_stream;
            }
            Event::Informational if self.informed || !is_passed_on(&message.headers) => {}
            Event::Informational => {
                self.informed = true;
                let place = self.informational.get_or_insert_default();
                mem::swap(&mut **place, &mut message.headers);
            }
            Event::Data { end_stream } => self.end |= end_stream,
            Event::Trailers => {
                mem::swap(&mut self.trailers, &mut message.trailers);
                self.has_trailers = true;
                self.end = true;
            }
            // Told by `fail`, with its reason.
            Event::Reset { .. } => {}
        }
    }

    /// Tells who takes it that there is something.
    #[inline]
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Who is to be told.
    #[inline]
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Whether the message is complete, and waits to be taken.
    pub(super) fn is_held(&self) -> bool {
        self.end && !self.ended
    }

    /// Whether the message was taken to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes the next thing. Without `may_read` only what ends the stream untimely.
    pub(super) fn take(
        &mut self,
        may_read: bool,
        message: &mut Message,
    ) -> Option<Result<Event, StreamReset>> {
        if !may_read {
            return self.reset.filter(|_| !self.end).map(Err);
        }
        if let Some(mut headers) = self.informational.take() {
            mem::swap(&mut *headers, &mut message.headers);
            return Some(Ok(Event::Informational));
        }
        if mem::take(&mut self.has_headers) {
            mem::swap(&mut self.headers, &mut message.headers);
            let end_stream = self.headers_end;
            self.ended |= end_stream;
            return Some(Ok(Event::Headers { end_stream }));
        }
        if let Some(mut piece) = self.pieces.pop_front() {
            message.data.append(&mut piece);
            let end_stream = self.end && self.pieces.is_empty() && !self.has_trailers;
            self.ended |= end_stream;
            return Some(Ok(Event::Data { end_stream }));
        }
        if mem::take(&mut self.has_trailers) {
            mem::swap(&mut self.trailers, &mut message.trailers);
            self.ended = true;
            return Some(Ok(Event::Trailers));
        }
        if self.end && !mem::replace(&mut self.ended, true) {
            return Some(Ok(Event::Data { end_stream: true }));
        }
        self.reset.map(Err)
    }
}
