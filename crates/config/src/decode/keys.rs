//! Which keys a mapping has had, and which of those that stand twice counts.

use std::collections::HashMap;

use super::Entry;
use crate::{
    front::Value,
    schema::{FieldType, MessageType},
};

/// The last entry of each key.
pub(super) fn last_of_each_key<'t>(
    entries: impl Iterator<Item = Entry<'t>> + Clone,
) -> impl Iterator<Item = Entry<'t>> {
    let name = |key: Value<'t>| key.as_str().unwrap_or_default();
    let last: HashMap<&str, usize> = entries
        .clone()
        .enumerate()
        .map(|(i, (key, _))| (name(key), i))
        .collect();
    entries
        .enumerate()
        .filter(move |(i, (key, _))| last[name(*key)] == *i)
        .map(|(_, entry)| entry)
}

/// What setting a field means for a mapping.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    First,
    Again,
    /// Another member of its oneof is set.
    OtherOfOneof,
}

/// Which fields, and which members of oneofs, a mapping has set so far.
#[derive(Default)]
pub(super) struct FieldSet {
    fields: [u64; 3],
    oneofs: Vec<usize>,
}

impl FieldSet {
    /// Notes that `field` of `message` is set.
    pub(super) fn insert(&mut self, message: MessageType, field: FieldType) -> Seen {
        let position = message.position(field);
        // A message with more fields than bits (there is none, see the test of `schema`) would only lose
        // the check.
        let Some(word) = self.fields.get_mut(position / 64) else {
            return Seen::First;
        };
        let bit = 1 << (position % 64);
        if *word & bit != 0 {
            return Seen::Again;
        }
        *word |= bit;
        if let Some(oneof) = field.oneof() {
            if self.oneofs.contains(&oneof) {
                return Seen::OtherOfOneof;
            }
            self.oneofs.push(oneof);
        }
        Seen::First
    }
}
