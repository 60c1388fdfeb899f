//! What Nuncio does with each field of Envoy's API: nothing that is configured is ever silently ignored.
//!
//! # How to edit the table
//!
//! One file per area holds a `MESSAGES` list; each message lists the fields that may be set, one per line:
//!
//! ```ignore
//! message("envoy.config.cluster.v3.Cluster", &[
//!     ("connect_timeout", Implemented),
//!     ("codec_type", Only(&["HTTP1"])),
//!     ("alt_stat_name", Harmless("why it has no effect, for COMPATIBILITY.md")),
//!     ("typed_extension_protocol_options", Extension(&[HTTP_PROTOCOL_OPTIONS])),
//! ]),
//! ```
//!
//! - [`Implemented`](Support::Implemented): the field does what Envoy does. A message that it holds must have an entry of its own.
//! - [`Only`](Support::Only): implemented for these values: enum names, `true`/`false`, or numbers (wrappers are looked into).
//! - [`Harmless`](Support::Harmless): accepted, and ignoring it cannot be noticed; the reason goes into COMPATIBILITY.md. Nothing below the
//!   field is looked up.
//! - [`Extension`](Support::Extension): an `Any` (or a map, or list of them) that may hold these messages; each needs an entry of its own.
//! - [`Refused`](Support::Refused): refused like any field that is not listed, with a remedy of its own.
//!
//! **A field that is not listed is refused when it is set.** Set means present: a plain scalar with its default value is not set. The
//! tests at the end of this file fail on a name that the API does not have and on a reachable message without an entry.
//! After an edit, renew COMPATIBILITY.md with `cargo xtask compat`.

mod access_log;
mod balancing;
mod bootstrap;
mod cluster;
mod core;
mod discovery;
mod dns;
mod filters;
mod hcm;
mod listener;
mod matching;
mod newer;
mod route;

pub(crate) use newer::{is_newer_field, is_newer_message};

use crate::{
    schema::{FieldType, MessageType, WellKnown},
    wire::{self, WireValue},
};

/// What Nuncio does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// Does what Envoy does.
    Implemented,
    /// Does what Envoy does for these values; others are refused.
    Only(&'static [&'static str]),
    /// Accepted; that nothing happens cannot be noticed, for this reason.
    Harmless(&'static str),
    /// Holds one of these messages in an `Any`.
    Extension(&'static [&'static str]),
    /// Refused when set; the text is a remedy, or empty.
    Refused(&'static str),
}

impl Support {
    /// Whether what the field holds is looked up in turn.
    pub(crate) fn is_walked(self) -> bool {
        !matches!(self, Self::Harmless(_) | Self::Refused(_))
    }
}

/// The entry of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Full name.
    pub(crate) name: &'static str,
    /// The fields that may be set, by proto name.
    pub(crate) fields: &'static [(&'static str, Support)],
}

/// Makes an [`Entry`].
const fn message(name: &'static str, fields: &'static [(&'static str, Support)]) -> Entry {
    Entry { name, fields }
}

const AREAS: [&[Entry]; 12] = [
    bootstrap::MESSAGES,
    listener::MESSAGES,
    hcm::MESSAGES,
    route::MESSAGES,
    matching::MESSAGES,
    filters::MESSAGES,
    cluster::MESSAGES,
    balancing::MESSAGES,
    dns::MESSAGES,
    access_log::MESSAGES,
    core::MESSAGES,
    discovery::MESSAGES,
];

/// Every entry, in the order of COMPATIBILITY.md.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    AREAS.into_iter().flatten()
}

/// The entry of `message`. A search through all of them: ask once for each type.
pub(crate) fn entry(message: MessageType) -> Option<&'static Entry> {
    let name = message.name();
    entries().find(|entry| entry.name == name)
}

/// Whether a message is a value, which has no fields to support or not: the well-known types except `Any`.
pub(crate) fn is_leaf(message: MessageType) -> bool {
    !matches!(message.well_known(), WellKnown::None | WellKnown::Any)
        || message.name() == "google.protobuf.Empty"
}

/// A scalar (or the scalar in a wrapper) as [`Support::Only`] writes it.
pub(crate) fn show(field: FieldType, value: WireValue<'_>) -> String {
    if let Some(message) = field.message() {
        return match (message.well_known(), message.field_by_number(1)) {
            (WellKnown::Wrapper, Some(inner)) => show(
                inner,
                wire::find(value.bytes(), 1).unwrap_or(WireValue::Varint(0)),
            ),
            _ => message.short_name().to_owned(),
        };
    }
    match field.kind() {
        crate::schema::Kind::Bool => (value.bits() != 0).to_string(),
        crate::schema::Kind::String => String::from_utf8_lossy(value.bytes()).into_owned(),
        crate::schema::Kind::Enum => {
            #[expect(clippy::cast_possible_truncation, reason = "enum numbers have 32 bits")]
            let number = value.bits() as i32;
            field
                .enumeration()
                .and_then(|e| e.by_number(number))
                .map_or_else(|| number.to_string(), |v| v.name.to_owned())
        }
        _ => value.bits().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_name_exists() {
        let mut wrong = Vec::new();
        for entry in entries() {
            let Some(message) = MessageType::find(entry.name) else {
                wrong.push(entry.name.to_owned());
                continue;
            };
            for (name, support) in entry.fields {
                let Some(field) = message.fields().find(|f| f.name() == *name) else {
                    wrong.push(format!("{}.{name}", entry.name));
                    continue;
                };
                if let (Support::Only(values), Some(descriptor)) = (support, field.enumeration()) {
                    let unknown = values.iter().filter(|v| descriptor.by_name(v).is_none());
                    wrong.extend(unknown.map(|v| format!("{}.{name} = {v}", entry.name)));
                }
                if let Support::Extension(payloads) = support {
                    wrong.extend(
                        payloads
                            .iter()
                            .filter(|p| MessageType::find(p).is_none())
                            .map(|p| (*p).to_owned()),
                    );
                }
            }
        }
        assert!(wrong.is_empty(), "the API has no such thing: {wrong:#?}");
    }

    #[test]
    fn no_message_stands_twice() {
        let mut names: Vec<_> = entries().map(|e| e.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn every_reachable_message_has_an_entry() {
        let known: HashMap<_, _> = entries().map(|e| (e.name, e)).collect();
        let mut missing = std::collections::BTreeSet::new();
        for entry in entries() {
            let message = MessageType::find(entry.name).unwrap();
            for (name, support) in entry.fields.iter().filter(|(_, s)| s.is_walked()) {
                let field = message.field_by_name(name).unwrap();
                let mut held = field.message();
                if field.is_map() {
                    held = held
                        .and_then(|entry| entry.field_by_number(2))
                        .and_then(FieldType::message);
                }
                match (support, held) {
                    (Support::Extension(payloads), _) => {
                        missing.extend(payloads.iter().copied().filter(|p| !known.contains_key(p)))
                    }
                    (_, Some(held)) if held.well_known() == WellKnown::Any => {
                        panic!("{}.{name} must be an Extension", entry.name)
                    }
                    (_, Some(held)) if !is_leaf(held) && !known.contains_key(held.name()) => {
                        missing.insert(held.name());
                    }
                    _ => {}
                }
            }
        }
        assert!(missing.is_empty(), "no entry for: {missing:#?}");
    }
}
