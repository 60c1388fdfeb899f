//! One filter's hold on one direction of a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_sdk::{Await, HttpFilter, Resume};

/// The two directions of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Response,
}

/// Whether a filter lets a direction pass.
#[derive(Default)]
pub(super) enum Gate {
    /// Everything passes.
    #[default]
    Open,
    /// The filter said stop; the buffer limit is hard (413, 500).
    Buffering,
    /// The filter said stop; over the limit reading pauses.
    Watermark,
    /// The filter waits; what arrives is held unseen.
    Waiting(Await),
    /// The filter let a part of the data go on and wants to see the rest when this ends.
    Pacing(Pin<Box<dyn Future<Output = ()>>>),
}

/// What a filter holds back of one direction.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) gate: Gate,
    /// The headers wait here.
    pub(super) headers: bool,
    /// Data the filter has seen.
    pub(super) seen: Buffer,
    /// The seen data ends the stream (or the held headers do).
    pub(super) seen_end: bool,
    /// Data that arrived while the filter waited.
    pub(super) unseen: Buffer,
    pub(super) unseen_end: bool,
    /// Trailers wait here, and the filter has seen them.
    pub(super) trailers_seen: bool,
    /// Trailers wait here, unseen.
    pub(super) trailers_unseen: bool,
    /// Limit of this lane in bytes, if the filter asked for one of its own.
    pub(super) limit: Option<u32>,
}

impl Lane {
    /// Bytes held back.
    pub(super) fn held(&self) -> usize {
        self.seen.len() + self.unseen.len()
    }

    /// Whether the filter is waiting for something of its own.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.gate, Gate::Waiting(_) | Gate::Pacing(_))
    }

    /// Polls what the filter waits for.
    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Resume> {
        let ready = match &mut self.gate {
            Gate::Waiting(wait) => std::task::ready!(wait.as_mut().poll(cx)),
            Gate::Pacing(wait) => {
                std::task::ready!(wait.as_mut().poll(cx));
                Resume::Continue
            }
            Gate::Open | Gate::Buffering | Gate::Watermark => return Poll::Pending,
        };
        Poll::Ready(ready)
    }
}

/// One filter of a stream's chain.
pub(super) struct FilterSlot {
    pub(super) filter: Box<dyn HttpFilter>,
    /// Its place in the chain's configuration.
    pub(super) entry: usize,
    pub(super) request: Lane,
    pub(super) response: Lane,
}

impl FilterSlot {
    pub(super) fn new(filter: Box<dyn HttpFilter>, entry: usize) -> FilterSlot {
        FilterSlot {
            filter,
            entry,
            request: Lane::default(),
            response: Lane::default(),
        }
    }

    /// Whether the response's body may pass by: the filter does not look at it and holds nothing back.
    pub(super) fn ignores_response_data(&self) -> bool {
        matches!(self.response.gate, Gate::Open) && !self.filter.wants_response_data()
    }

    pub(super) fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }
}
