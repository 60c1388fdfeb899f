//! One stream: its state and its windows (states: `LIFECYCLE.md`).

use super::window::{ReceiveWindow, SendWindow};

/// How far one direction of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// No (final) headers yet.
    Idle,
    /// Headers went; data and trailers may follow.
    Open,
    /// Ended by END_STREAM or a reset.
    Closed,
}

/// What a client must remember of its request to understand the response (RFC 9110, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Other,
    Head,
    /// CONNECT without `:protocol`.
    Connect,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// 0 while it has none.
    pub(super) id: u32,
    there: bool,
    pub(super) recv: Half,
    pub(super) send: Half,
    /// Wants to send and waits for a window.
    pub(super) blocked: bool,
    /// Is in the queue of those that may send.
    pub(super) queued: bool,
    /// An informational response has come.
    pub(super) informed: bool,
    pub(super) method: Method,
    pub(super) send_window: SendWindow,
    pub(super) recv_window: ReceiveWindow,
    /// `content-length` of the message received.
    pub(super) expected: Option<u64>,
    /// Body bytes received.
    pub(super) received: u64,
}

impl Stream {
    /// A slot without a stream.
    pub(super) const fn vacant() -> Self {
        Self {
            there: false,
            ..Self::own(0, 0)
        }
    }

    /// A stream that we open.
    pub(super) const fn own(send_window: u32, recv_window: u32) -> Self {
        Self {
            id: 0,
            there: true,
            recv: Half::Idle,
            send: Half::Idle,
            blocked: false,
            queued: false,
            informed: false,
            method: Method::Other,
            send_window: SendWindow::new(send_window),
            recv_window: ReceiveWindow::new(recv_window),
            expected: None,
            received: 0,
        }
    }

    /// A stream that the peer opens.
    pub(super) const fn peers(id: u32, send_window: u32, recv_window: u32) -> Self {
        Self {
            id,
            ..Self::own(send_window, recv_window)
        }
    }

    #[inline]
    pub(super) const fn is_there(&self) -> bool {
        self.there
    }

    /// Closed both ways.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.recv == Half::Closed && self.send == Half::Closed
    }

    /// Ends it at once.
    pub(super) fn end(&mut self) {
        self.blocked = false;
        self.recv = Half::Closed;
        self.send = Half::Closed;
    }

    /// Whether `n` more body bytes (and then the end, if `end`) are what `content-length` says.
    #[inline]
    pub(super) fn length_allows(&self, n: usize, end: bool) -> bool {
        self.expected.is_none_or(|expected| {
            let sum = self.received.saturating_add(n as u64);
            if end {
                sum == expected
            } else {
                sum <= expected
            }
        })
    }
}
