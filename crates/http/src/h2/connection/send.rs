//! What goes out on streams.

use nuncio_buffer::Buffer;

use super::Connection;
use crate::h2::frame::{self, Head, MAX_31, MAX_PAYLOAD, flag, kind};
use crate::h2::stream::{Half, Method, Stream};
use crate::h2::{Role, StreamKey};
use crate::headers::KnownSet;
use crate::{HeaderMap, Known};

/// Fields that are never written (section 8.2.2). `te` only says `trailers` here.
const NEVER: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
]);

impl Connection {
    /// Opens a stream (client only); its first frame is that of [`send_headers`](Self::send_headers).
    ///
    /// None: not now ([`peer_max_streams`](Self::peer_max_streams) are open), or never again
    /// ([`is_going_away`](Self::is_going_away)).
    pub fn open(&mut self) -> Option<StreamKey> {
        let possible = self.role == Role::Client
            && self.failed.is_none()
            && !self.is_going_away()
            && self.open < self.peer_max_streams();
        if !possible {
            return None;
        }
        self.open += 1;
        let stream = Stream::own(self.peer.initial_window, self.own_window);
        Some(self.streams.insert(stream))
    }

    /// Sends request headers (client) or final response headers (server), in CONTINUATION frames when they are long.
    /// Headers that HTTP/2 forbids (`connection` and the like) are left out. Does nothing when the stream has been
    /// reset.
    pub fn send_headers(
        &mut self,
        key: StreamKey,
        headers: &HeaderMap,
        end_stream: bool,
        out: &mut Buffer,
    ) {
        let next_id = self.next_id;
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.send != Half::Idle {
            return;
        }
        stream.send = Half::Open;
        let mut id = stream.id;
        if self.role == Role::Client {
            id = next_id;
            let extended = headers.contains(Known::Protocol);
            stream.method = match headers.method() {
                Some(b"HEAD") => Method::Head,
                Some(b"CONNECT") if !extended => Method::Connect,
                _ => Method::Other,
            };
            self.next_id += 2;
            self.streams.name(key, id);
        }
        self.write_block(id, headers, end_stream, false, out);
        if end_stream {
            self.close(key, false, true);
        }
    }

    /// Sends a 1xx response (server only), in front of the final one.
    pub fn send_informational(&mut self, key: StreamKey, headers: &HeaderMap, out: &mut Buffer) {
        if let Some(stream) = self.streams.get(key)
            && stream.send == Half::Idle
            && self.role == Role::Server
        {
            self.write_block(stream.id, headers, false, false, out);
        }
    }

    /// Sends trailers, which end the stream. Only when all data is out. Trailers of which nothing is left end it with
    /// an empty DATA frame.
    pub fn send_trailers(&mut self, key: StreamKey, trailers: &HeaderMap, out: &mut Buffer) {
        if trailers.is_empty() {
            self.send_data(key, &mut Buffer::new(), true, 0, out);
        } else if let Some(stream) = self.streams.get(key)
            && stream.send == Half::Open
        {
            self.write_block(stream.id, trailers, true, true, out);
            self.close(key, false, true);
        }
    }

    /// A header block in HEADERS and, if it is long, CONTINUATION frames.
    fn write_block(
        &mut self,
        id: u32,
        headers: &HeaderMap,
        end_stream: bool,
        trailers: bool,
        out: &mut Buffer,
    ) {
        let before = self.encoder.generation();
        let sent = &mut self.sent[usize::from(trailers)];
        if let Some(generation) = before
            && let Some(block) = sent.find(headers, generation)
        {
            let end_stream = if end_stream { flag::END_STREAM } else { 0 };
            frame::head(
                out,
                kind::HEADERS,
                end_stream | flag::END_HEADERS,
                id,
                block.len(),
            );
            out.append_slice(block);
            self.outbound.add(frame::HEAD + block.len());
            return;
        }
        let keeps_te = headers
            .get_all(Known::Te)
            .all(|value| value.eq_ignore_ascii_case(b"trailers"));
        let keep = |known: Option<Known>, _: &[u8]| {
            known.is_none_or(|known| {
                !NEVER.contains(known)
                    && (known != Known::Te || keeps_te)
                    && !(trailers && known.is_pseudo())
            })
        };
        let at = out.len();
        out.append_slice(&[0; frame::HEAD]);
        self.encoder.encode(headers, keep, out);
        let end_stream = if end_stream { flag::END_STREAM } else { 0 };
        let len = out.len() - at - frame::HEAD;
        let mut head = Head {
            len,
            kind: kind::HEADERS,
            flags: end_stream | flag::END_HEADERS,
            stream: id,
        };
        if len <= MAX_PAYLOAD {
            frame::patch(out, at, head);
            self.outbound.add(frame::HEAD + len);
            if let Some(generation) = before
                && before == self.encoder.generation()
            {
                let block = &out[at + frame::HEAD..];
                self.sent[usize::from(trailers)].keep(headers, block, generation);
            }
            return;
        }
        let rest = Buffer::from(&out[at + frame::HEAD + MAX_PAYLOAD..]);
        out.truncate(at + frame::HEAD + MAX_PAYLOAD);
        head.len = MAX_PAYLOAD;
        head.flags = end_stream;
        frame::patch(out, at, head);
        self.outbound.add(frame::HEAD + MAX_PAYLOAD);
        let mut pieces = rest.chunks(MAX_PAYLOAD).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() {
                flag::END_HEADERS
            } else {
                0
            };
            frame::head(out, kind::CONTINUATION, flags, id, piece.len());
            out.append_slice(piece);
            self.outbound.add(frame::HEAD + piece.len());
        }
    }

    /// Moves as much of `data` as windows and frame size allow, and at most `budget` bytes, into DATA frames.
    ///
    /// With `end_stream` the frame that empties `data` (an empty one if there is none) ends the stream. Returns how
    /// many bytes were moved. What stays in `data` because a window is closed waits for
    /// [`next_writable`](Self::next_writable); what stays because of `budget` is the driver's to send when it likes.
    /// Everything is dropped when the stream has been reset.
    pub fn send_data(
        &mut self,
        key: StreamKey,
        data: &mut Buffer,
        end_stream: bool,
        budget: usize,
        out: &mut Buffer,
    ) -> usize {
        let Some(stream) = self.streams.get_mut(key) else {
            data.clear();
            return 0;
        };
        if stream.send != Half::Open {
            data.clear();
            return 0;
        }
        let before = data.len();
        let mut budget = budget;
        let ended = loop {
            let left = data.len();
            if left == 0 && !end_stream {
                break false;
            }
            let window = stream
                .send_window
                .available()
                .min(self.send_window.available());
            let n = left.min(window).min(budget).min(MAX_PAYLOAD);
            if n == 0 && left > 0 {
                if window == 0 {
                    stream.blocked = true;
                    if stream.send_window.available() > 0 && !stream.queued {
                        stream.queued = true;
                        self.writable.push_back((key, stream.id));
                    }
                }
                break false;
            }
            let ends = end_stream && n == left;
            let flags = if ends { flag::END_STREAM } else { 0 };
            frame::head(out, kind::DATA, flags, stream.id, n);
            data.move_to(out, n);
            stream.send_window.sent(n);
            self.send_window.sent(n);
            budget -= n;
            self.inbound.data_frames_sent += 1;
            self.outbound.add(frame::HEAD + n);
            if ends {
                break true;
            }
        };
        if ended {
            self.close(key, false, true);
        }
        before - data.len()
    }

    /// Begins one DATA frame for at most `available` bytes that the driver itself sends behind `head`, and nothing else
    /// before they are sent. With `end_stream` the frame that takes them all ends the stream. Returns how many bytes
    /// the frame has; none: a window is closed, and [`next_writable`](Self::next_writable) will tell.
    pub fn send_data_head(
        &mut self,
        key: StreamKey,
        available: usize,
        end_stream: bool,
        head: &mut Buffer,
    ) -> usize {
        let Some(stream) = self.streams.get_mut(key) else {
            return 0;
        };
        if stream.send != Half::Open {
            return 0;
        }
        let window = stream
            .send_window
            .available()
            .min(self.send_window.available());
        let n = available.min(window).min(MAX_PAYLOAD);
        if n == 0 {
            stream.blocked = true;
            if stream.send_window.available() > 0 && !stream.queued {
                stream.queued = true;
                self.writable.push_back((key, stream.id));
            }
            return 0;
        }
        let ends = end_stream && n == available;
        let flags = if ends { flag::END_STREAM } else { 0 };
        frame::head(head, kind::DATA, flags, stream.id, n);
        stream.send_window.sent(n);
        self.send_window.sent(n);
        self.inbound.data_frames_sent += 1;
        self.outbound.add(frame::HEAD + n);
        if ends {
            self.close(key, false, true);
        }
        n
    }

    /// The next stream that was blocked by a window and may send now.
    pub fn next_writable(&mut self) -> Option<StreamKey> {
        while self.send_window.available() > 0 {
            let (key, id) = self.writable.pop_front()?;
            let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.id == id) else {
                continue;
            };
            stream.queued = false;
            if stream.blocked && stream.send == Half::Open && stream.send_window.available() > 0 {
                stream.blocked = false;
                return Some(key);
            }
        }
        None
    }

    /// How many body bytes may be sent on this stream now.
    #[must_use]
    pub fn capacity(&self, key: StreamKey) -> usize {
        match self.streams.get(key) {
            Some(stream) if stream.send == Half::Open => stream
                .send_window
                .available()
                .min(self.send_window.available()),
            _ => 0,
        }
    }

    /// How many streams a client may have open: the smaller of the peer's `SETTINGS_MAX_CONCURRENT_STREAMS` and
    /// [`H2Settings::max_concurrent_streams`](crate::h2::H2Settings::max_concurrent_streams).
    #[must_use]
    pub fn peer_max_streams(&self) -> u32 {
        self.peer.max_streams.min(self.own_max_streams)
    }

    /// Whether stream ids are used up: what is open would exceed 2^31-1.
    pub(super) fn is_used_up(&self) -> bool {
        self.next_id > MAX_31 - 2 * self.open.min(1 << 29)
    }
}
