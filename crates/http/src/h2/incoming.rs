//! What a connection tells its driver.

use super::StreamError;
use crate::Event;

/// Index of a stream within its connection: small, dense, reused after
/// [`release`](super::Connection::release).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub u32);

impl StreamKey {
    /// The key as an index.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens streams.
    Client,
    /// Answers them.
    Server,
}

/// What [`Connection::decode`](super::Connection::decode) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Something for one stream. A server sees a new stream as [`Event::Headers`] on a key for which it has no object.
    ///
    /// After the event that ends the message (see [`Event::is_end`]) none follows for the key but [`Event::Reset`]. After
    /// `Reset` none follows at all; the driver releases the key.
    ///
    /// A client learns that a stream was not processed, so that the request may be sent again, by a `Reset` with
    /// [`ErrorCode::REFUSED_STREAM`](super::ErrorCode::REFUSED_STREAM), be it that the peer refused it or that a GOAWAY
    /// left it out.
    Stream {
        /// The stream.
        key: StreamKey,
        /// What was found. The bytes are in the [`Message`](crate::Message) that was handed in.
        event: Event,
    },
    /// The peer broke a rule in a way that ends this stream only: a malformed message (with
    /// `stream_error_on_invalid_messages`), or headers beyond a limit. It has been reset; the driver releases
    /// the key. A server may have no object for it yet: Envoy counts and logs such a request.
    StreamFailed {
        /// The stream.
        key: StreamKey,
        /// What was wrong.
        error: StreamError,
    },
    /// The peer goes away: no stream can be opened any more. A client's streams above `last_stream` follow as `Reset`
    /// with `REFUSED_STREAM`.
    GoAway {
        /// The last stream the peer may have processed; 2^31-1 in a shutdown notice.
        last_stream: u32,
        /// Why.
        code: u32,
    },
    /// The peer's settings came: [`peer_max_streams`](super::Connection::peer_max_streams) and windows may have changed.
    Settings,
    /// The answer to [`ping`](super::Connection::ping).
    Pong {
        /// The value that was sent.
        opaque: u64,
    },
    /// Something was consumed that is of no concern to the driver; call again.
    Progress,
}

/// Which GOAWAY to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoAway {
    /// First step of a graceful end: no new streams please (last stream 2^31-1). Streams already under way to us are
    /// still served.
    ShutdownNotice,
    /// The last stream that was taken; later ones are ignored. Streams below go on.
    Final,
    /// As `Final`, with an error.
    Error(super::ErrorCode),
}
