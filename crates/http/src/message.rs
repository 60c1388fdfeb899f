//! What every codec (HTTP/1, /2, /3) speaks: messages and events.

use nuncio_buffer::Buffer;

use crate::HeaderMap;

/// One message in transit: what has been received and not yet been passed on. Made to be reused.
#[derive(Debug, Default)]
pub struct Message {
    /// Headers, pseudo headers included.
    pub headers: HeaderMap,
    /// Body bytes received and not yet taken.
    pub data: Buffer,
    /// Trailers.
    pub trailers: HeaderMap,
}

impl Message {
    /// An empty message that owns no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            headers: HeaderMap::new(),
            data: Buffer::new(),
            trailers: HeaderMap::new(),
        }
    }

    /// Empties the message. Header memory is kept; the body's storage goes back to the pool.
    pub fn clear(&mut self) {
        self.headers.clear();
        self.data.clear();
        self.data.release();
        self.trailers.clear();
    }
}

/// What a decoder found. The bytes are in the [`Message`] that was handed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `message.headers` is complete.
    Headers {
        /// Nothing follows: no body, no trailers.
        end_stream: bool,
    },
    /// `message.headers` holds a 1xx response other than 101; the final one follows. Only from
    /// decoders of responses.
    Informational,
    /// Bytes were added to `message.data`.
    Data {
        /// The message is complete. There may be no bytes with it.
        end_stream: bool,
    },
    /// `message.trailers` is complete, and with it the message.
    Trailers,
    /// The peer gave up this message (HTTP/2 `RST_STREAM` and the like); never from HTTP/1.
    Reset {
        /// The error code of the protocol.
        code: u64,
    },
}

impl Event {
    /// Whether nothing follows for this message.
    #[must_use]
    pub const fn is_end(self) -> bool {
        match self {
            Self::Headers { end_stream } | Self::Data { end_stream } => end_stream,
            Self::Informational => false,
            Self::Trailers | Self::Reset { .. } => true,
        }
    }
}
