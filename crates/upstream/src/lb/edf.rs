//! Earliest deadline first: weighted round robin in O(log n) (Envoy's `EdfScheduler`).

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// A schedule over entries `0..n`. Each pick takes the entry with the earliest deadline and puts it back at
/// its deadline plus 1/weight.
#[derive(Clone, Debug)]
pub struct EdfSchedule {
    now: f64,
    order: u64,
    queue: BinaryHeap<Entry>,
    /// Picked already by who has looked ahead.
    ahead: VecDeque<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: f64,
    /// Entries of equal deadline are picked in the order in which they were put in.
    order: u64,
    index: usize,
}

impl EdfSchedule {
    /// The schedule of `len` entries as it is after `picks` picks, so that balancers with different seeds start at
    /// different places (`EdfScheduler::createWithPicks`). Weights are above 0.
    pub fn with_picks(len: usize, weight: impl Fn(usize) -> f64, picks: u32) -> Self {
        // Of nothing, hundreds of millions of picks would be made in vain.
        let picks = if len == 0 { 0 } else { picks };
        // Envoy's limit and epsilon; the latter keeps floors exact where weights are multiples of each other.
        let picks = picks % 429_496_729;
        let weight_of = |index: usize| weight(index) + 1e-13;
        let sum: f64 = (0..len).map(weight_of).sum();
        let mut schedule = Self {
            now: 0.0,
            order: 0,
            queue: BinaryHeap::with_capacity(len),
            ahead: VecDeque::new(),
        };
        let mut picked = 0;
        for index in 0..len {
            let weight = weight_of(index);
            let mut floor = (weight * f64::from(picks) / sum) as u32;
            // The last of an entry's share may lie after the others' next ones.
            if floor > 0 && f64::from(floor) / weight >= f64::from(picks) / sum {
                floor -= 1;
            }
            schedule.now = schedule.now.max(f64::from(floor) / weight);
            picked += floor;
            schedule.put(f64::from(floor + 1) / weight, index);
        }
        for _ in picked..picks {
            if schedule.pick(&weight).is_none() {
                // There is no entry: nothing to do some hundred million times.
                break;
            }
        }
        schedule
    }

    fn put(&mut self, deadline: f64, index: usize) {
        self.queue.push(Entry {
            deadline,
            order: self.order,
            index,
        });
        self.order += 1;
    }

    /// The next entry; `weight` tells what an entry weighs now. `None` when the schedule is empty.
    pub fn pick(&mut self, weight: impl FnOnce(usize) -> f64) -> Option<usize> {
        match self.ahead.pop_front() {
            Some(index) => Some(index),
            None => self.draw(weight),
        }
    }

    /// The entry that will be picked after `ahead` others: from now on that is settled (Envoy's `peekAgain`).
    pub fn peek(&mut self, ahead: usize, weight: impl Fn(usize) -> f64) -> Option<usize> {
        while self.ahead.len() <= ahead {
            let index = self.draw(&weight)?;
            self.ahead.push_back(index);
        }
        self.ahead.get(ahead).copied()
    }

    fn draw(&mut self, weight: impl FnOnce(usize) -> f64) -> Option<usize> {
        let mut top = self.queue.peek_mut()?;
        let index = top.index;
        self.now = top.deadline;
        // In place, so that the heap is sifted once.
        top.deadline = self.now + 1.0 / weight(index);
        top.order = self.order;
        self.order += 1;
        Some(index)
    }
}

impl Ord for Entry {
    /// Reversed: the heap's greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .deadline
            .total_cmp(&self.deadline)
            .then_with(|| other.order.cmp(&self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_picks(weights: &[u32], picks: u32) -> EdfSchedule {
        EdfSchedule::with_picks(weights.len(), |index| f64::from(weights[index]), picks)
    }

    fn picks(schedule: &mut EdfSchedule, weights: &[u32], count: usize) -> Vec<usize> {
        (0..count)
            .map(|_| schedule.pick(|index| f64::from(weights[index])).unwrap())
            .collect()
    }

    #[test]
    fn an_empty_schedule_is_made_at_once() {
        let mut schedule = EdfSchedule::with_picks(0, |_| 1.0, 429_496_728);
        assert_eq!(schedule.pick(|_| 1.0), None);
        assert_eq!(schedule.order, 0);
    }

    #[test]
    fn an_empty_schedule_picks_nothing() {
        let mut schedule = with_picks(&[], u32::MAX - 7);
        assert_eq!(schedule.pick(|_| 1.0), None);
    }

    #[test]
    fn what_was_seen_ahead_is_picked() {
        let weights = [2, 1];
        let mut schedule = with_picks(&weights, 0);
        let mut peek = |ahead| schedule.peek(ahead, |index| f64::from(weights[index]));
        assert_eq!((peek(0), peek(2), peek(1)), (Some(0), Some(0), Some(1)));
        assert_eq!(picks(&mut schedule, &weights, 6), [0, 1, 0, 0, 1, 0]);
        assert_eq!(with_picks(&[], 0).peek(0, |_| 1.0), None);
    }

    #[test]
    fn equal_weights_are_plain_round_robin() {
        let weights = [3; 4];
        let mut schedule = with_picks(&weights, 0);
        assert_eq!(picks(&mut schedule, &weights, 8), [0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn weights_interleave_as_in_envoy() {
        let weights = [1, 2, 3];
        let mut schedule = with_picks(&weights, 0);
        assert_eq!(
            picks(&mut schedule, &weights, 6)
                .iter()
                .filter(|i| **i == 2)
                .count(),
            3
        );
        let mut schedule = with_picks(&[2, 1], 0);
        assert_eq!(picks(&mut schedule, &[2, 1], 6), [0, 1, 0, 0, 1, 0]);
    }

    proptest! {
        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(1u32..=128, 1..20), seed in any::<u32>()) {
            let mut schedule = with_picks(&weights, seed);
            let total: u32 = weights.iter().sum();
            let rounds = 3;
            let picked = picks(&mut schedule, &weights, (total * rounds) as usize);
            for (index, weight) in weights.iter().enumerate() {
                let count = picked.iter().filter(|&&i| i == index).count() as i64;
                let expected = i64::from(weight * rounds);
                prop_assert!((count - expected).abs() <= 2, "{index}: {count} of {expected}");
            }
        }

        #[test]
        fn picks_made_in_advance_are_as_good_as_made(
            weights in prop::collection::vec(1u32..=50, 1..8), picked in 0u32..400,
        ) {
            let mut ahead = with_picks(&weights, picked);
            let mut made = with_picks(&weights, 0);
            let mut counts = vec![0i64; weights.len()];
            for index in picks(&mut made, &weights, picked as usize) {
                counts[index] += 1;
            }
            // Whatever the ties, after a whole number of rounds both have served alike.
            let total: u32 = weights.iter().sum();
            let rest = (total - picked % total) as usize;
            for index in picks(&mut ahead, &weights, rest) {
                counts[index] += 1;
            }
            let rounds = i64::from(picked / total + 1);
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert!((count - rounds * i64::from(*weight)).abs() <= 2);
            }
        }
    }
}
