//! The deadlines of many slots behind one timer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::time::Instant;

/// A lazy heap: a slot's entry stays where it is when its deadline moves later, and is looked at again when its old time
/// comes. So what every request pushes on costs the heap one touch per timeout, not one per request.
#[derive(Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, u32)>>,
    /// By slot: its earliest entry.
    queued: Vec<Option<Instant>>,
}

impl Deadlines {
    /// Notes the present deadline of a slot.
    #[inline]
    pub(super) fn note(&mut self, slot: u32, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        let index = slot as usize;
        if self.queued.len() <= index {
            self.queued.resize(index + 1, None);
        }
        if self.queued[index].is_none_or(|queued| deadline < queued) {
            self.queued[index] = Some(deadline);
            self.heap.push(Reverse((deadline, slot)));
        }
    }

    /// When to look again.
    #[inline]
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// A slot whose time may have come: its deadline is to be looked at, and noted again.
    pub(super) fn pop(&mut self, now: Instant) -> Option<u32> {
        while let Some(&Reverse((at, slot))) = self.heap.peek() {
            if at > now {
                return None;
            }
            self.heap.pop();
            let queued = &mut self.queued[slot as usize];
            if *queued == Some(at) {
                *queued = None;
                return Some(slot);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earliest_comes_first_and_later_ones_wait() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        deadlines.note(0, Some(at(10)));
        deadlines.note(7, Some(at(5)));
        deadlines.note(3, None);
        assert_eq!(deadlines.next(), Some(at(5)));
        assert_eq!(deadlines.pop(at(4)), None);
        assert_eq!(deadlines.pop(at(10)), Some(7));
        assert_eq!(deadlines.pop(at(10)), Some(0));
        assert_eq!(deadlines.pop(at(10)), None);
    }

    #[test]
    fn a_deadline_that_moves_later_costs_nothing() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        for turn in 0..100 {
            deadlines.note(0, Some(at(10 + turn)));
        }
        assert_eq!(deadlines.heap.len(), 1);
        // Earlier: a second entry; the first one is passed over when its time comes.
        deadlines.note(0, Some(at(2)));
        assert_eq!(deadlines.pop(at(2)), Some(0));
        deadlines.note(0, Some(at(20)));
        assert_eq!(deadlines.pop(at(19)), None);
        assert_eq!(deadlines.pop(at(20)), Some(0));
        assert_eq!(deadlines.next(), None);
    }
}
