//! Frames that wait to be written, for the limits on their number.

use std::collections::VecDeque;

/// Counts the frames in the output. Exact while everything is written at once; otherwise the frames of a round count until
/// the last of them is written.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Frames that wait, and those of them that are PING, SETTINGS or RST_STREAM.
    pub(super) frames: u32,
    pub(super) control: u32,
    /// Bytes put out since the connection began.
    bytes: u64,
    /// Frames since the last call of [`flushed`](Self::flushed).
    round: Round,
    /// Rounds of which something waits.
    waiting: VecDeque<Round>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// Where its last byte lies in all that was put out.
    end: u64,
    frames: u32,
    control: u32,
}

impl Outbound {
    /// A frame of `len` bytes, head included, was put out.
    #[inline]
    pub(super) fn add(&mut self, len: usize) {
        self.bytes += len as u64;
        self.frames += 1;
        self.round.frames += 1;
    }

    /// Like [`add`](Self::add), for PING, SETTINGS and RST_STREAM.
    #[inline]
    pub(super) fn add_control(&mut self, len: usize) {
        self.add(len);
        self.control += 1;
        self.round.control += 1;
    }

    /// All but the last `pending` bytes are written.
    pub(super) fn flushed(&mut self, pending: usize) {
        if pending == 0 {
            (self.frames, self.control) = (0, 0);
            self.round = Round::default();
            self.waiting.clear();
            return;
        }
        if self.round.frames > 0 {
            self.round.end = self.bytes;
            self.waiting.push_back(std::mem::take(&mut self.round));
        }
        let written = self.bytes.saturating_sub(pending as u64);
        while let Some(&round) = self.waiting.front()
            && round.end <= written
        {
            self.frames -= round.frames;
            self.control -= round.control;
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_count_until_they_are_written() {
        let mut outbound = Outbound::default();
        outbound.add(10);
        outbound.add_control(13);
        outbound.flushed(23);
        assert_eq!((outbound.frames, outbound.control), (2, 1));
        outbound.add_control(13);
        outbound.flushed(14);
        assert_eq!((outbound.frames, outbound.control), (3, 2));
        outbound.flushed(13);
        assert_eq!((outbound.frames, outbound.control), (1, 1));
        outbound.flushed(1);
        assert_eq!((outbound.frames, outbound.control), (1, 1));
        outbound.add(9);
        outbound.flushed(0);
        assert_eq!((outbound.frames, outbound.control), (0, 0));
        assert!(outbound.waiting.is_empty());
    }
}
