//! Requests whose header block has begun to come.

use nuncio_buffer::Buffer;

use super::{Connection, Reading, Target};
use crate::h2::frame::{self, Head, flag, kind};
use crate::h2::{Role, StreamKey};

impl Connection {
    /// The request whose header block has begun and is not complete; opens its stream, so that it can be timed,
    /// answered and logged like any other. Its [`Event::Headers`](crate::Event::Headers) comes when the block is
    /// complete, unless the stream is released before that: then the block is decoded for the table's sake only.
    ///
    /// `input` is what [`decode`](Self::decode) has left when it said that it needs more.
    pub fn begin_request(&mut self, input: &Buffer) -> Option<StreamKey> {
        if self.role != Role::Server || self.failed.is_some() {
            return None;
        }
        if let Some(block) = &self.block {
            return match block.target {
                Target::Request(key) => Some(key),
                _ => None,
            };
        }
        if !matches!(self.reading, Reading::Head) || !self.peer.seen {
            return None;
        }
        let head = Head::parse(input).filter(|head| head.kind == kind::HEADERS)?;
        // As in Envoy, it begins behind what comes before the block.
        let ahead =
            usize::from(head.has(flag::PADDED)) + if head.has(flag::PRIORITY) { 5 } else { 0 };
        if input.len() < frame::HEAD + ahead || head.len > self.max_payload {
            return None;
        }
        if let Some((id, key)) = self.early
            && id == head.stream
        {
            return Some(key);
        }
        let is_new = head.stream > self.seen_peer_id && head.stream % 2 == 1;
        if !is_new || self.refuses_streams || self.open >= self.own_max_streams {
            return None;
        }
        (self.seen_peer_id, self.last_peer_id) = (head.stream, head.stream);
        let key = self.open_stream(head.stream);
        self.early = Some((head.stream, key));
        Some(key)
    }

    /// The stream that [`begin_request`](Self::begin_request) has opened for this frame, if it did so.
    pub(super) fn take_early(&mut self, id: u32) -> Option<Target> {
        let (_, key) = self.early.take_if(|(early, _)| *early == id)?;
        Some(Target::Request(key))
    }

    /// A stream is released: what is still to come of its header block is for nobody.
    pub(super) fn forget_block(&mut self, key: StreamKey) {
        self.early.take_if(|(_, early)| *early == key);
        if let Some(block) = &mut self.block
            && matches!(block.target, Target::Request(target) if target == key)
        {
            block.target = Target::Nothing;
        }
    }
}
