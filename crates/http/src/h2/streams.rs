//! The streams of a connection: a dense slab, and the way from an id to its slot.

use std::collections::VecDeque;

use super::StreamKey;
use super::stream::Stream;

/// Marks an id whose stream is gone.
const GONE: u32 = u32::MAX;

/// Slots that a connection without streams keeps.
const MAX_IDLE: usize = 32;

/// Ids that may stay behind their streams before the list is cleaned.
const MIN_GONE: usize = 32;

/// Slab of streams. Slots are reused, most recent first, so that a busy connection touches little memory.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    free: Vec<u32>,
    ids: Ids,
}

impl Streams {
    /// Streams that are there.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a stream in. One that has an id must have the highest so far.
    pub(super) fn insert(&mut self, stream: Stream) -> StreamKey {
        let id = stream.id;
        let key = if let Some(key) = self.free.pop() {
            self.slots[key as usize] = stream;
            key
        } else {
            // Slots are bounded by the number of streams that may be open.
            self.slots.push(stream);
            self.slots.len() as u32 - 1
        };
        if id != 0 {
            self.ids.push(id, key);
        }
        StreamKey(key)
    }

    /// Gives its id to a stream that had none; the highest so far.
    pub(super) fn name(&mut self, key: StreamKey, id: u32) {
        self.slots[key.index()].id = id;
        self.ids.push(id, key.0);
    }

    /// Frees a slot.
    pub(super) fn remove(&mut self, key: StreamKey) {
        let stream = &mut self.slots[key.index()];
        let id = stream.id;
        *stream = Stream::vacant();
        self.free.push(key.0);
        if id != 0 {
            self.ids.remove(id);
        }
        if self.slots.len() > MAX_IDLE && self.len() == 0 {
            // A crowd has gone.
            *self = Self::default();
        }
    }

    /// The stream with this id.
    #[inline]
    pub(super) fn find(&self, id: u32) -> Option<StreamKey> {
        self.ids.find(id).map(StreamKey)
    }

    /// The stream of a key, unless the slot is vacant.
    #[inline]
    pub(super) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.slots
            .get(key.index())
            .filter(|stream| stream.is_there())
    }

    /// The stream of a key, unless the slot is vacant.
    #[inline]
    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.slots
            .get_mut(key.index())
            .filter(|stream| stream.is_there())
    }

    /// All streams.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (StreamKey, &mut Stream)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter(|(_, stream)| stream.is_there())
            .map(|(key, stream)| (StreamKey(key as u32), stream))
    }
}

/// Ids in their order (they only grow) with their slots. A peer that uses every id is found by subtraction, any
/// other by a binary search: nothing an attacker chooses makes a search long, as with a hash.
#[derive(Debug, Default)]
struct Ids {
    list: VecDeque<(u32, u32)>,
    gone: usize,
}

impl Ids {
    fn push(&mut self, id: u32, key: u32) {
        debug_assert!(self.list.back().is_none_or(|&(last, _)| last < id));
        if self.gone > MIN_GONE && self.gone > self.list.len() / 2 {
            self.list.retain(|&(_, key)| key != GONE);
            self.gone = 0;
        }
        self.list.push_back((id, key));
    }

    #[inline]
    fn position(&self, id: u32) -> Option<usize> {
        let &(last, _) = self.list.back()?;
        let back = (last.checked_sub(id)? / 2) as usize;
        if let Some(at) = (self.list.len() - 1).checked_sub(back)
            && self.list[at].0 == id
        {
            return Some(at);
        }
        self.list.binary_search_by_key(&id, |&(id, _)| id).ok()
    }

    #[inline]
    fn find(&self, id: u32) -> Option<u32> {
        let (_, key) = self.list[self.position(id)?];
        (key != GONE).then_some(key)
    }

    fn remove(&mut self, id: u32) {
        if let Some(at) = self.position(id) {
            self.list[at].1 = GONE;
            self.gone += 1;
        }
        while let Some((_, GONE)) = self.list.front() {
            self.list.pop_front();
            self.gone -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_with_gaps_and_after_cleaning() {
        let mut ids = Ids::default();
        ids.push(1, 7);
        for n in 1..1000 {
            ids.push(n * 4 + 1, n);
            assert_eq!(ids.find(n * 4 + 1), Some(n));
            assert_eq!(ids.find(n * 4 - 1), None);
            if n % 10 != 0 {
                ids.remove(n * 4 + 1);
                assert_eq!(ids.find(n * 4 + 1), None);
            }
        }
        assert_eq!(ids.find(1), Some(7));
        assert_eq!(ids.find(401), Some(100));
        assert!(ids.list.len() < 3 * 100 + MIN_GONE, "{}", ids.list.len());
        ids.remove(1);
        assert_eq!(ids.list.front(), Some(&(41, 10)));
    }

    #[test]
    fn slots_are_reused() {
        let mut streams = Streams::default();
        let a = streams.insert(Stream::peers(1, 10, 10));
        let b = streams.insert(Stream::peers(3, 10, 10));
        streams.remove(a);
        assert!(streams.get(a).is_none() && streams.find(1).is_none());
        let c = streams.insert(Stream::peers(5, 10, 10));
        assert_eq!((a, streams.len()), (c, 2));
        assert_eq!(streams.find(5), Some(c));
        assert_eq!(streams.find(3), Some(b));
    }
}
