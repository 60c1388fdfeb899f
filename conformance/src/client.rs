//! A connection of the client, and what can be asked of it.

use std::collections::BTreeSet;

use crate::conn::{Conn, Ended};
use crate::h2;
use crate::wire::{self, Message, Side};

/// A connection of the client.
pub(crate) struct Client {
    pub conn: Conn,
    pub to_head: bool,
    /// The beginning of HTTP/2 was sent.
    pub begun: bool,
    /// HTTP/2 streams that were opened and not reset.
    pub open: BTreeSet<u32>,
    /// Final responses awaited so far.
    pub awaited: usize,
    /// Something was sent that no `await` has followed.
    pub pending: bool,
    pub ended_by_client: bool,
}

impl Client {
    fn side(&self) -> Side {
        Side::Responses {
            to_head: self.to_head,
        }
    }

    pub(crate) fn messages(&self) -> (Vec<Message>, Vec<u8>, Option<Ended>) {
        let received = self.conn.received();
        // A connection that the client has ended tells nothing about where a body without framing ends.
        let ended = received.ended.is_some() && !self.ended_by_client;
        let (messages, rest) = wire::read(&received.bytes, self.side(), ended);
        (messages, rest, received.ended)
    }

    /// What came on an HTTP/2 connection.
    pub(crate) fn session(&self) -> Option<h2::Session> {
        let received = self.conn.received();
        h2::is_session(&received.bytes).then(|| h2::read(&received.bytes))
    }

    pub(crate) fn responses(&self) -> usize {
        if let Some(session) = self.session() {
            return session.over();
        }
        let (messages, ..) = self.messages();
        messages
            .iter()
            .filter(|m| m.complete && (m.status() >= 200 || m.status() == 101))
            .count()
    }

    pub(crate) fn ended(&self) -> bool {
        self.conn.received().ended.is_some()
    }

    /// The last response says that the connection will be closed.
    pub(crate) fn close_announced(&self) -> bool {
        if let Some(session) = self.session() {
            return !session.goaways.is_empty();
        }
        let (messages, ..) = self.messages();
        messages.last().is_some_and(|last| {
            last.header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"))
        })
    }
}
