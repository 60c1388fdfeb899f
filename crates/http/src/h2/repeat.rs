//! Header blocks that are the same as the last ones: a client that asks for the same thing with the same headers (health
//! checks, gRPC calls of one method) sends the same few bytes each time, and gets the same ones.
//!
//! As long as a dynamic table does not change, a block that did not change it either means the same headers again. Only the last
//! block of each kind is kept, and only while that pays.

use super::message::{Facts, Section};
use crate::HeaderMap;

/// Longer blocks, and larger header lists, are not kept (bytes): an idle connection shall stay small.
const MAX_BLOCK: usize = 256;
const MAX_HEADERS: usize = 2048;

/// After so many misses in a row a block is kept only every [`RARELY`]th time.
const PATIENCE: u8 = 4;
const RARELY: u8 = 32;

/// One block with its headers.
#[derive(Debug, Default)]
struct Kept {
    block: Vec<u8>,
    headers: HeaderMap,
    /// The state of the table for which it is true.
    generation: u64,
    misses: u8,
}

impl Kept {
    /// Whether to keep the next block.
    fn is_worth_it(&mut self) -> bool {
        self.misses = self.misses.checked_add(1).unwrap_or(PATIENCE);
        self.misses <= PATIENCE || self.misses.is_multiple_of(RARELY)
    }

    fn keep(&mut self, block: &[u8], headers: &HeaderMap, generation: u64) -> bool {
        if block.len() > MAX_BLOCK || headers.stored_bytes() > MAX_HEADERS {
            return false;
        }
        self.block.clear();
        self.block.extend_from_slice(block);
        self.headers.copy_from(headers);
        self.generation = generation;
        true
    }
}

/// The last block that was received.
#[derive(Debug, Default)]
pub(super) struct Received {
    kept: Kept,
    meaning: Option<(Section, bool, Facts)>,
}

impl Received {
    /// Copies the headers of the same block, if it is the last one and valid still.
    #[inline]
    pub(super) fn find(
        &mut self,
        block: &[u8],
        section: Section,
        end_stream: bool,
        generation: u64,
        headers: &mut HeaderMap,
    ) -> Option<Facts> {
        let (kept_section, kept_end, facts) = self.meaning?;
        if kept_section != section
            || kept_end != end_stream
            || self.kept.generation != generation
            || self.kept.block != block
        {
            return None;
        }
        self.kept.misses = 0;
        headers.copy_from(&self.kept.headers);
        Some(facts)
    }

    /// Keeps a valid block that left the table as it was.
    pub(super) fn keep(
        &mut self,
        block: &[u8],
        section: Section,
        end_stream: bool,
        facts: Facts,
        generation: u64,
        headers: &HeaderMap,
    ) {
        if self.kept.is_worth_it() {
            let kept = self.kept.keep(block, headers, generation);
            self.meaning = kept.then_some((section, end_stream, facts));
        }
    }
}

/// The last block that was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    kept: Kept,
    is_there: bool,
}

impl Sent {
    /// The block of the same headers, if they are the last ones and it is valid still.
    #[inline]
    pub(super) fn find(&mut self, headers: &HeaderMap, generation: u64) -> Option<&[u8]> {
        let hit = self.is_there
            && self.kept.generation == generation
            && self.kept.headers.is_copy_of(headers);
        if !hit {
            return None;
        }
        self.kept.misses = 0;
        Some(&self.kept.block)
    }

    /// Keeps a block that left the table as it was.
    pub(super) fn keep(&mut self, headers: &HeaderMap, block: &[u8], generation: u64) {
        if self.kept.is_worth_it() {
            self.is_there = self.kept.keep(block, headers, generation);
        }
    }
}
