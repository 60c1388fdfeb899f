//! Writes the schema blob. `src/schema.rs` is its reader; the two change together.
//!
//! All integers are little-endian. A *string* is a `u32` offset into the pool, where a `u16` length and
//! the bytes stand. Sections, each starting at an offset given in the header (eight `u32`):
//!
//! | # | section | record |
//! |---|---|---|
//! | 0 | message count, then messages sorted by full name | name, first field, first name, first oneof: `u32`; fields, names, oneofs, flags: `u16` (24 bytes) |
//! | 1 | fields, of a message together, sorted by number | name, json name, number, type index, rules offset + 1: `u32`; kind, flags: `u8`; oneof + 1: `u16` (24 bytes) |
//! | 2 | names: proto and JSON names of a message's fields, sorted | name: `u32`; field's index in its message: `u32` (8 bytes) |
//! | 3 | oneofs | name: `u32`; flags: `u32` (8 bytes) |
//! | 4 | enum count, then enums sorted by full name | name, first value, values: `u32` (12 bytes) |
//! | 5 | enum values in declaration order | name: `u32`; number: `i32`; flags: `u32` (12 bytes) |
//! | 6 | rules | `u16` length, encoded `validate.FieldRules` |
//! | 7 | string pool | |

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::descriptors::{Field, Message, Model};

const TYPE_MESSAGE: u8 = 11;
const TYPE_ENUM: u8 = 14;
const TYPE_GROUP: u8 = 10;

#[derive(Default)]
struct Pool {
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, u32>,
}

impl Pool {
    fn add(&mut self, value: &[u8]) -> u32 {
        if let Some(&at) = self.known.get(value) {
            return at;
        }
        let at = u32::try_from(self.bytes.len()).expect("the pool is small");
        self.bytes.extend_from_slice(
            &u16::try_from(value.len())
                .expect("names and rules are short")
                .to_le_bytes(),
        );
        self.bytes.extend_from_slice(value);
        self.known.insert(value.to_vec(), at);
        at
    }
}

/// How proto JSON writes a message in a form of its own: `src/schema.rs` has the names of these numbers.
fn well_known(name: &str) -> u16 {
    match name.strip_prefix("google.protobuf.") {
        Some("Any") => 1,
        Some("Duration") => 2,
        Some("Timestamp") => 3,
        Some("Struct") => 4,
        Some("Value") => 5,
        Some("ListValue") => 6,
        Some(
            "BoolValue" | "BytesValue" | "DoubleValue" | "FloatValue" | "Int32Value" | "Int64Value"
            | "StringValue" | "UInt32Value" | "UInt64Value",
        ) => 7,
        Some("FieldMask") => 8,
        _ => 0,
    }
}

/// The blob of `model`.
pub(crate) fn write(model: &Model) -> Vec<u8> {
    let mut messages: Vec<&Message> = model
        .messages
        .iter()
        .filter(|m| m.fields.iter().all(|f| f.kind != TYPE_GROUP))
        .collect();
    messages.sort_by(|a, b| a.name.cmp(&b.name));
    messages.dedup_by(|a, b| a.name == b.name);
    let index: BTreeMap<&str, u32> = messages
        .iter()
        .zip(0..)
        .map(|(m, i)| (m.name.as_str(), i))
        .collect();
    let mut enums: Vec<_> = model.enums.iter().collect();
    enums.sort_by(|a, b| a.name.cmp(&b.name));
    enums.dedup_by(|a, b| a.name == b.name);
    let enum_index: BTreeMap<&str, u32> = enums
        .iter()
        .zip(0..)
        .map(|(e, i)| (e.name.as_str(), i))
        .collect();
    let checked = checked(&messages);

    let (mut strings, mut rules) = (Pool::default(), Pool::default());
    let mut sections: [Vec<u8>; 8] = Default::default();
    let mut counts = [0u32; 4]; // fields, names, oneofs, enum values
    put(&mut sections[0], messages.len());
    for message in &messages {
        let mut fields: Vec<&Field> = message.fields.iter().collect();
        fields.sort_by_key(|f| f.number);
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, field) in fields.iter().enumerate() {
            names.insert(&field.name, i);
            names.entry(&field.json_name).or_insert(i);
        }
        let flags = u16::from(message.map_entry)
            | u16::from(message.deprecated) << 1
            | u16::from(message.unchecked) << 2
            | u16::from(checked.contains(message.name.as_str())) << 3
            | well_known(&message.name) << 4;
        put(&mut sections[0], strings.add(message.name.as_bytes()));
        for count in [counts[0], counts[1], counts[2]] {
            put(&mut sections[0], count);
        }
        for half in [
            fields.len(),
            names.len(),
            message.oneofs.len(),
            usize::from(flags),
        ] {
            sections[0].extend_from_slice(
                &u16::try_from(half)
                    .expect("a message is small")
                    .to_le_bytes(),
            );
        }
        counts[0] += u32::try_from(fields.len()).expect("small");
        counts[1] += u32::try_from(names.len()).expect("small");
        counts[2] += u32::try_from(message.oneofs.len()).expect("small");
        for field in fields {
            let (type_index, map) = match field.kind {
                TYPE_MESSAGE => {
                    let at = index.get(field.type_name.as_str()).copied();
                    (
                        at.unwrap_or(u32::MAX),
                        at.is_some_and(|at| messages[at as usize].map_entry),
                    )
                }
                TYPE_ENUM => (
                    enum_index
                        .get(field.type_name.as_str())
                        .copied()
                        .unwrap_or(u32::MAX),
                    false,
                ),
                _ => (u32::MAX, false),
            };
            let real_oneof = field
                .oneof
                .filter(|&o| !message.oneofs[usize::from(o)].synthetic);
            // Implicit presence: the default value cannot be told from absence.
            let implicit = !field.repeated && field.oneof.is_none() && field.kind != TYPE_MESSAGE;
            let flags = u8::from(field.repeated)
                | u8::from(map) << 1
                | u8::from(field.deprecated) << 2
                | u8::from(implicit) << 3
                | u8::from(field.sensitive) << 4;
            let out = &mut sections[1];
            put(out, strings.add(field.name.as_bytes()));
            put(out, strings.add(field.json_name.as_bytes()));
            put(out, field.number);
            put(out, type_index);
            put(
                out,
                if field.rules.is_empty() {
                    0
                } else {
                    rules.add(&field.rules) + 1
                },
            );
            out.push(field.kind);
            out.push(flags);
            out.extend_from_slice(&real_oneof.map_or(0, |o| o + 1).to_le_bytes());
        }
        for (name, i) in names {
            put(&mut sections[2], strings.add(name.as_bytes()));
            put(&mut sections[2], i);
        }
        for oneof in &message.oneofs {
            put(&mut sections[3], strings.add(oneof.name.as_bytes()));
            put(
                &mut sections[3],
                u32::from(oneof.required && !oneof.synthetic),
            );
        }
    }
    put(&mut sections[4], enums.len());
    for descriptor in &enums {
        put(&mut sections[4], strings.add(descriptor.name.as_bytes()));
        put(&mut sections[4], counts[3]);
        put(&mut sections[4], descriptor.values.len());
        counts[3] += u32::try_from(descriptor.values.len()).expect("small");
        for value in &descriptor.values {
            put(&mut sections[5], strings.add(value.name.as_bytes()));
            sections[5].extend_from_slice(&value.number.to_le_bytes());
            put(&mut sections[5], u32::from(value.deprecated));
        }
    }
    sections[6] = rules.bytes;
    sections[7] = strings.bytes;

    let mut blob = Vec::new();
    let mut at = 4 * sections.len();
    for section in &sections {
        put(&mut blob, at);
        at += section.len();
    }
    for section in &sections {
        blob.extend_from_slice(section);
    }
    blob
}

fn put<T: TryInto<u32>>(out: &mut Vec<u8>, value: T)
where
    T::Error: std::fmt::Debug,
{
    out.extend_from_slice(&value.try_into().expect("fits in 32 bits").to_le_bytes());
}

/// The messages that have a rule, or reach one that has: the others need no look at all.
fn checked<'a>(messages: &[&'a Message]) -> HashSet<&'a str> {
    let mut checked: HashSet<&str> = messages
        .iter()
        .filter(|m| {
            !m.unchecked
                && (m.fields.iter().any(|f| !f.rules.is_empty())
                    || m.oneofs.iter().any(|o| o.required))
        })
        .map(|m| m.name.as_str())
        .collect();
    loop {
        let before = checked.len();
        for message in messages {
            if message
                .fields
                .iter()
                .any(|f| f.kind == TYPE_MESSAGE && checked.contains(f.type_name.as_str()))
            {
                checked.insert(&message.name);
            }
        }
        if checked.len() == before {
            return checked;
        }
    }
}
