//! In which order places of a ring stand that are equal: hosts with one name, or one `hash_key`, have the same places, and the
//! first of them gets the requests. Envoy leaves that to its standard library's unstable sort (libc++'s introsort), which
//! deals them out well enough; here it is done the same way, so that the same host is chosen.

/// A place on the ring, and the index of its host.
pub(super) type Place = (u64, u32);

/// Shorter parts are sorted by insertion.
const SHORT: usize = 24;
/// From longer parts the pivot is chosen more carefully.
const LONG: usize = 128;
/// So many insertions are tried where a part seems to be sorted already.
const FEW: usize = 8;

/// Sorts by place alone.
pub(super) fn sort(places: &mut [Place]) {
    let depth = 2 * places.len().checked_ilog2().unwrap_or(0);
    let end = places.len();
    Sort(places).part(0, end, depth, true);
}

struct Sort<'p>(&'p mut [Place]);

impl Sort<'_> {
    fn less(&self, a: usize, b: usize) -> bool {
        self.0[a].0 < self.0[b].0
    }

    /// Orders two; whether they were exchanged.
    fn two(&mut self, a: usize, b: usize) -> bool {
        let wrong = self.less(b, a);
        if wrong {
            self.0.swap(a, b);
        }
        wrong
    }

    fn three(&mut self, a: usize, b: usize, c: usize) {
        if !self.less(b, a) {
            if self.two(b, c) {
                self.two(a, b);
            }
        } else if self.less(c, b) {
            self.0.swap(a, c);
        } else {
            self.0.swap(a, b);
            self.two(b, c);
        }
    }

    /// Up to five, from `begin` on.
    fn up_to_five(&mut self, begin: usize, count: usize) {
        match count {
            0 | 1 => return,
            2 => _ = self.two(begin, begin + 1),
            _ => self.three(begin, begin + 1, begin + 2),
        }
        // Each further one sinks to its place.
        for next in begin + 3..begin + count {
            let mut at = next;
            while at > begin && self.two(at - 1, at) {
                at -= 1;
            }
        }
    }

    /// `leftmost`: nothing stands before `begin`.
    fn part(&mut self, mut begin: usize, mut end: usize, mut depth: u32, mut leftmost: bool) {
        loop {
            let count = end - begin;
            if count <= 5 {
                return self.up_to_five(begin, count);
            }
            if count < SHORT || depth == 0 {
                // Without depth the library changes to a heap; hashes do not come to that.
                return self.0[begin..end].sort_by_key(|place| place.0);
            }
            depth -= 1;
            self.bring_pivot(begin, end);
            // The pivot is also the greatest before: whatever equals it belongs to the left, where all is sorted.
            if !leftmost && !self.less(begin - 1, begin) {
                begin = self.equals_left(begin, end);
                continue;
            }
            let (pivot, was_parted) = self.equals_right(begin, end);
            if was_parted {
                let left = self.insert_few(begin, pivot);
                if self.insert_few(pivot + 1, end) {
                    if left {
                        return;
                    }
                    end = pivot;
                    continue;
                }
                if left {
                    begin = pivot + 1;
                    continue;
                }
            }
            self.part(begin, pivot, depth, leftmost);
            leftmost = false;
            begin = pivot + 1;
        }
    }

    /// Brings a value from the middle to `begin`.
    fn bring_pivot(&mut self, begin: usize, end: usize) {
        let count = end - begin;
        let middle = begin + count / 2;
        if count > LONG {
            self.three(begin, middle, end - 1);
            self.three(begin + 1, middle - 1, end - 2);
            self.three(begin + 2, middle + 1, end - 3);
            self.three(middle - 1, middle, middle + 1);
            self.0.swap(begin, middle);
        } else {
            self.three(middle, begin, end - 1);
        }
    }

    /// Parts by the first; what equals it goes to the right. Where it stands then, and whether all stood well before.
    fn equals_right(&mut self, begin: usize, end: usize) -> (usize, bool) {
        let pivot = self.0[begin].0;
        let mut left = begin + 1;
        while self.0[left].0 < pivot {
            left += 1;
        }
        let mut right = end;
        loop {
            // Who found something smaller on the left finds it again from the right.
            if left == begin + 1 && left >= right {
                break;
            }
            right -= 1;
            if self.0[right].0 < pivot {
                break;
            }
        }
        let was_parted = left >= right;
        while left < right {
            self.0.swap(left, right);
            left += 1;
            while self.0[left].0 < pivot {
                left += 1;
            }
            right -= 1;
            while self.0[right].0 >= pivot {
                right -= 1;
            }
        }
        self.0.swap(begin, left - 1);
        (left - 1, was_parted)
    }

    /// Parts by the first; what equals it goes to the left. Where greater ones begin.
    fn equals_left(&mut self, begin: usize, end: usize) -> usize {
        let pivot = self.0[begin].0;
        let mut left = begin + 1;
        while left < end && self.0[left].0 <= pivot {
            left += 1;
        }
        let mut right = end;
        if left < right {
            right -= 1;
            while self.0[right].0 > pivot {
                right -= 1;
            }
        }
        while left < right {
            self.0.swap(left, right);
            left += 1;
            while self.0[left].0 <= pivot {
                left += 1;
            }
            right -= 1;
            while self.0[right].0 > pivot {
                right -= 1;
            }
        }
        self.0.swap(begin, left - 1);
        left
    }

    /// Sorts by insertion while that costs little; whether all is sorted.
    fn insert_few(&mut self, begin: usize, end: usize) -> bool {
        let count = end - begin;
        if count <= 5 {
            self.up_to_five(begin, count);
            return true;
        }
        self.three(begin, begin + 1, begin + 2);
        let mut inserted = 0;
        for next in begin + 3..end {
            let mut at = next;
            while at > begin && self.two(at - 1, at) {
                at -= 1;
            }
            inserted += usize::from(at < next);
            if inserted == FEW && at < next {
                return next + 1 == end;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{below, seeded};

    #[test]
    fn places_are_sorted_and_none_is_lost() {
        seeded(200, |random, seed| {
            let count = below(&random, 600) as u32;
            let kinds = 1 + below(&random, 200);
            let sorted_before = below(&random, 3);
            let mut places: Vec<Place> = (0..count)
                .map(|host| match sorted_before {
                    0 => (u64::from(host) / 3, host),
                    _ => (below(&random, kinds), host),
                })
                .collect();
            let mut wanted = places.clone();
            sort(&mut places);
            assert!(places.is_sorted_by_key(|place| place.0), "seed {seed}");
            places.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(places, wanted, "seed {seed}");
        });
    }
}
