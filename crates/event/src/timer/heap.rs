//! A binary heap of timer entries that know their place, so that any of them can be taken out.

use std::rc::Rc;

use tokio::time::Instant;

use super::Entry;

#[derive(Default)]
pub(super) struct Heap {
    /// Each entry with the instant it is queued for, which its deadline may have left since.
    nodes: Vec<(Instant, Rc<Entry>)>,
}

impl Heap {
    /// The earliest instant.
    pub(super) fn first(&self) -> Option<Instant> {
        self.nodes.first().map(|(at, _)| *at)
    }

    pub(super) fn insert(&mut self, at: Instant, entry: Rc<Entry>) {
        debug_assert!(!entry.is_queued());
        let place = self.nodes.len();
        self.nodes.push((at, entry));
        self.raise(place);
    }

    /// Takes the entry with the earliest instant.
    pub(super) fn pop(&mut self) -> Option<Rc<Entry>> {
        (!self.nodes.is_empty()).then(|| self.take(0))
    }

    /// Takes `entry` out; `None` when it is not in this heap.
    pub(super) fn remove(&mut self, entry: &Rc<Entry>) -> Option<Rc<Entry>> {
        let place = entry.place.get().checked_sub(1)?;
        let (_, found) = self.nodes.get(place)?;
        Rc::ptr_eq(found, entry).then(|| self.take(place))
    }

    /// Queues `entry`, which is in this heap, for the earlier instant `at`.
    pub(super) fn move_earlier(&mut self, entry: &Entry, at: Instant) {
        let place = entry.place.get() - 1;
        if at < self.nodes[place].0 {
            self.nodes[place].0 = at;
            self.raise(place);
        }
    }

    fn take(&mut self, place: usize) -> Rc<Entry> {
        let (_, entry) = self.nodes.swap_remove(place);
        entry.place.set(0);
        if place < self.nodes.len() {
            // The last node took the hole: it may belong above or below.
            let place = self.raise(place);
            self.lower(place);
        } else if self.nodes.len() * 4 < self.nodes.capacity() && self.nodes.capacity() > 64 {
            self.nodes.shrink_to(self.nodes.len() * 2);
        }
        entry
    }

    fn raise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.nodes[parent].0 <= self.nodes[place].0 {
                break;
            }
            self.swap(parent, place);
            place = parent;
        }
        self.note(place);
        place
    }

    fn lower(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let Some(mut least) = self.nodes.get(left).map(|_| left) else {
                break;
            };
            if let Some((at, _)) = self.nodes.get(left + 1)
                && *at < self.nodes[left].0
            {
                least = left + 1;
            }
            if self.nodes[place].0 <= self.nodes[least].0 {
                break;
            }
            self.swap(place, least);
            place = least;
        }
        self.note(place);
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.nodes.swap(a, b);
        self.note(a);
        self.note(b);
    }

    fn note(&self, place: usize) {
        self.nodes[place].1.place.set(place + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn random_inserts_moves_and_removals_keep_the_order() {
        let start = Instant::now();
        let mut seed = 0x2545_f491_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let mut heap = Heap::default();
        let mut entries: Vec<(Instant, Rc<Entry>)> = Vec::new();
        for _ in 0..5_000 {
            let at = start + Duration::from_millis(random() % 10_000);
            match random() % 4 {
                0 | 1 => {
                    let entry = Rc::new(Entry::default());
                    heap.insert(at, Rc::clone(&entry));
                    entries.push((at, entry));
                }
                2 if !entries.is_empty() => {
                    let (_, entry) = entries.swap_remove(random() as usize % entries.len());
                    assert!(heap.remove(&entry).is_some());
                    assert!(heap.remove(&entry).is_none());
                }
                3 if !entries.is_empty() => {
                    let index = random() as usize % entries.len();
                    let (old, entry) = &mut entries[index];
                    *old = at.min(*old);
                    heap.move_earlier(entry, at);
                }
                _ => {}
            }
            assert_eq!(heap.first(), entries.iter().map(|(at, _)| *at).min());
        }
        let mut last = start;
        while let Some(at) = heap.first() {
            let entry = heap.pop().unwrap();
            assert!(at >= last);
            assert!(!entry.is_queued());
            last = at;
            entries.retain(|(_, other)| !Rc::ptr_eq(other, &entry));
        }
        assert!(entries.is_empty());
    }
}
