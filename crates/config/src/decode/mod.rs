//! From a [`Tree`](crate::front::Tree) to protobuf's wire format, by the rules of protobuf's JSON as Envoy applies them,
//! or by those of the text format.
//!
//! Nothing stops at the first error: what cannot be decoded is reported and left out.

pub(crate) mod any;
mod keys;
mod problem;
mod scalar;
mod text_format;
mod well_known;

use std::collections::HashSet;

use crate::{
    front::{Content, Entries, Syntax, Value},
    path::{Path, Step},
    schema::{FieldType, Kind, MessageType, WellKnown},
    suggest::{longer, nearest},
    support, wire,
};

use keys::{FieldSet, Seen, last_of_each_key};
pub(crate) use problem::{Doubt, Problem};

/// What decoding gave.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The message in wire format; incomplete when there are `errors`.
    pub(crate) wire: Vec<u8>,
    pub(crate) errors: Vec<Problem>,
    /// What the errors leave in the dark.
    pub(crate) doubts: Vec<Doubt>,
    /// Unknown fields that were allowed.
    pub(crate) unknown: Vec<Problem>,
    /// A singular field stands in `wire` more than once (JSON with a repeated key): normalise it before
    /// looking at it.
    pub(crate) repeats: bool,
}

/// Decodes `root` as a message of type `message`. A `TypedStruct` may also name one of `extension_types`: such a
/// configuration stays a `google.protobuf.Struct` behind that type's URL.
pub(crate) fn decode<'t>(
    message: MessageType,
    root: Value<'t>,
    syntax: Syntax,
    allow_unknown: bool,
    extension_types: &'t [String],
) -> Decoded {
    let mut decoder = Decoder {
        path: Path::default(),
        out: Decoded::default(),
        syntax,
        allow_unknown,
        extension_types,
        depth: 0,
    };
    let mut wire = Vec::new();
    match root.content() {
        Content::Map(entries) if syntax == Syntax::Text => {
            decoder.text_fields(message, entries, &mut wire);
        }
        Content::Map(_) if message.well_known() == WellKnown::Any => {
            decoder.any(root, &mut wire);
        }
        Content::Map(entries) => decoder.fields(message, entries, &mut wire),
        _ => {
            let message = format!(
                "Unable to convert YAML as JSON: {} is not a mapping",
                root.describe()
            );
            decoder.error(root, message, Some("a mapping of fields".into()), None);
        }
    }
    Decoded {
        wire,
        ..decoder.out
    }
}

/// What happens to a scalar that has its default value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Default {
    /// Not written: the field has no presence.
    Skip,
    /// Written: an element, an entry, or a field with presence.
    Write,
}

impl Default {
    /// Of a singular field.
    fn of(field: FieldType) -> Self {
        match field.is_implicit() {
            true => Self::Skip,
            false => Self::Write,
        }
    }
}

/// A key and its value.
type Entry<'t> = (Value<'t>, Value<'t>);

struct Decoder<'t> {
    path: Path<'t>,
    out: Decoded,
    syntax: Syntax,
    allow_unknown: bool,
    extension_types: &'t [String],
    depth: usize,
}

/// How deep messages may nest (a map's entry and each step of a `Value` are messages too). Protobuf libraries, prost
/// among them, read no deeper; Envoy counts the nesting of the text instead.
const MAX_DEPTH: usize = 100;

impl<'t> Decoder<'t> {
    fn problem(
        &self,
        at: Value<'_>,
        message: String,
        expected: Option<String>,
        suggestion: Option<String>,
    ) -> Problem {
        Problem {
            place: at.place(),
            path: self.path.to_string(),
            message,
            expected,
            suggestion,
        }
    }

    fn error(
        &mut self,
        at: Value<'_>,
        message: impl Into<String>,
        expected: Option<String>,
        suggestion: Option<String>,
    ) {
        let problem = self.problem(at, message.into(), expected, suggestion);
        self.out.doubts.push(Doubt::Value(problem.path.clone()));
        self.out.errors.push(problem);
    }

    fn mismatch(&mut self, at: Value<'_>, expected: &str) {
        self.error(
            at,
            format!("expected {expected}, found {}", at.describe()),
            Some(expected.into()),
            None,
        );
    }

    fn unknown(&mut self, at: Value<'_>, message: String, suggestion: Option<String>) {
        let problem = self.problem(at, message, None, suggestion);
        if self.allow_unknown {
            return self.out.unknown.push(problem);
        }
        self.out.doubts.push(Doubt::Fields(problem.path.clone()));
        self.out.errors.push(problem);
    }

    /// Runs `body` one step further down the path.
    fn under<T>(&mut self, step: Step<'t>, body: impl FnOnce(&mut Self) -> T) -> T {
        self.path.0.push(step);
        let result = body(self);
        self.path.0.pop();
        result
    }

    /// The body of a message.
    fn message(&mut self, message: MessageType, value: Value<'t>, out: &mut Vec<u8>) {
        if self.depth > MAX_DEPTH - 4 {
            return self.error(value, "JSON content was too deeply nested", None, None);
        }
        self.depth += 1;
        let content = value.content();
        match (message.well_known(), content) {
            (WellKnown::Any, _) => self.any(value, out),
            (WellKnown::Value, _) => self.value(value, out),
            (WellKnown::Struct, Content::Map(entries)) => self.structure(entries, out),
            // Protobuf also takes the plain form of the other well-known types: {seconds: 5}.
            (_, Content::Map(entries)) => self.fields(message, entries, out),
            (WellKnown::List, Content::List(items)) => self.list(items, out),
            (WellKnown::Duration, _) => self.duration(value, out),
            (WellKnown::Timestamp, _) => self.timestamp(value, out),
            (WellKnown::FieldMask, _) => self.field_mask(value, out),
            (WellKnown::Wrapper, _) => {
                if let Some(field) = message.field_by_number(1) {
                    self.singular(field, value, Default::Skip, out);
                }
            }
            _ => {
                let expected = format!("a mapping with fields of {}", message.name());
                let found = value.describe();
                // A percentage, say, is often written as the number that it holds.
                let mut fields = message.fields();
                let only = fields.next().filter(|_| fields.next().is_none());
                let remedy = only
                    .filter(|field| field.kind() != Kind::Message)
                    .map(|field| format!("write {{{}: …}}", field.name()));
                let message = format!("expected {expected}, found {found}");
                self.error(value, message, Some(expected), remedy);
            }
        }
        self.depth -= 1;
    }

    /// The fields of a message that is written as a mapping.
    fn fields(
        &mut self,
        message: MessageType,
        entries: impl Iterator<Item = Entry<'t>> + Clone,
        out: &mut Vec<u8>,
    ) {
        let start = (out.len(), self.out.errors.len(), self.out.unknown.len());
        let doubts = self.out.doubts.len();
        let mut seen = FieldSet::default();
        // YAML lets a key stand twice: the last one counts, the others are not even looked at.
        let unique = entries.clone().all(|entry| {
            let seen = self.entry(message, entry, &mut seen, out);
            self.syntax == Syntax::Json || seen != Seen::Again
        });
        if !unique {
            out.truncate(start.0);
            self.out.errors.truncate(start.1);
            self.out.unknown.truncate(start.2);
            self.out.doubts.truncate(doubts);
            seen = FieldSet::default();
            for entry in last_of_each_key(entries) {
                self.entry(message, entry, &mut seen, out);
            }
        }
    }

    /// One entry of a message's mapping.
    fn entry(
        &mut self,
        message: MessageType,
        (key, value): Entry<'t>,
        set: &mut FieldSet,
        out: &mut Vec<u8>,
    ) -> Seen {
        let name = key.as_str().unwrap_or_default();
        let Some(field) = message.field_by_name(name) else {
            self.no_such_field(message, name, key);
            return Seen::First;
        };
        if matches!(value.content(), Content::Null) && !takes_null(field) {
            return Seen::First;
        }
        let seen = set.insert(message, field);
        match seen {
            Seen::First => {}
            Seen::Again => self.out.repeats = true,
            Seen::OtherOfOneof => {
                let text = format!(
                    "'{name}' has already been set (either directly or as part of a oneof)"
                );
                self.error(key, text, Some(one_of_its_oneof(message, field)), None);
                return seen;
            }
        }
        self.under(Step::Field(field.name()), |this| {
            this.field(field, value, out)
        });
        seen
    }

    fn no_such_field(&mut self, message: MessageType, name: &'t str, key: Value<'t>) {
        if support::is_newer_field(message.name(), name) {
            let text = format!(
                "unsupported: {}.{name} is not supported yet",
                message.short_name()
            );
            return self.under(Step::Field(name), |this| {
                this.error(key, text, None, Some("remove the field".into()))
            });
        }
        let names = || message.fields().map(FieldType::name);
        let nearest = nearest(name, names()).or_else(|| longer(name, names()));
        let suggestion = nearest.map(|near| format!("did you mean \"{near}\"?"));
        self.unknown(
            key,
            format!("no such field: '{name}' in {}", message.name()),
            suggestion,
        );
    }

    fn field(&mut self, field: FieldType, value: Value<'t>, out: &mut Vec<u8>) {
        if field.is_map() {
            match (value.content(), field.message()) {
                (Content::Map(entries), Some(entry)) => self.map(field, entry, entries, out),
                _ => self.mismatch(value, "a mapping"),
            }
        } else if field.is_repeated() {
            let mut index = 0;
            self.repeated(field, value, &mut index, out);
        } else {
            self.singular(field, value, Default::of(field), out);
        }
    }

    /// A repeated field: a list, lists in a list (flattened), or a single element.
    fn repeated(
        &mut self,
        field: FieldType,
        value: Value<'t>,
        index: &mut usize,
        out: &mut Vec<u8>,
    ) {
        let nested_lists_count = field
            .message()
            .is_some_and(|m| matches!(m.well_known(), WellKnown::Value | WellKnown::List));
        match value.content() {
            Content::List(items) if self.depth < MAX_DEPTH => {
                self.depth += 1;
                for item in items {
                    if matches!(item.content(), Content::List(_)) && !nested_lists_count {
                        self.repeated(field, item, index, out);
                    } else {
                        self.element(field, item, index, out);
                    }
                }
                self.depth -= 1;
            }
            _ => self.element(field, value, index, out),
        }
    }

    fn element(
        &mut self,
        field: FieldType,
        value: Value<'t>,
        index: &mut usize,
        out: &mut Vec<u8>,
    ) {
        self.under(Step::Index(*index), |this| {
            this.singular(field, value, Default::Write, out)
        });
        *index += 1;
    }

    fn map(
        &mut self,
        field: FieldType,
        entry: MessageType,
        entries: Entries<'t>,
        out: &mut Vec<u8>,
    ) {
        let (Some(key_field), Some(value_field)) =
            (entry.field_by_number(1), entry.field_by_number(2))
        else {
            return;
        };
        let entries: Vec<_> = match self.syntax {
            Syntax::Yaml => last_of_each_key(entries).collect(),
            Syntax::Json | Syntax::Text => entries.collect(),
        };
        let mut keys = HashSet::with_capacity(entries.len());
        for (key, value) in entries {
            let name = key.as_str().unwrap_or_default();
            if !keys.insert(name) {
                self.error(
                    key,
                    format!("got unexpectedly-repeated repeated map key: '{name}'"),
                    None,
                    None,
                );
                continue;
            }
            self.under(Step::Key(name), |this| {
                wire::put_nested(out, field.number(), |out| {
                    this.map_key(key_field, key, out);
                    if !matches!(value.content(), Content::Null)
                        || value_field
                            .message()
                            .is_some_and(|m| m.well_known() == WellKnown::Value)
                    {
                        this.singular(value_field, value, Default::Write, out);
                    }
                });
            });
        }
    }

    /// One value of a field, whatever the field's label.
    fn singular(
        &mut self,
        field: FieldType,
        value: Value<'t>,
        default: Default,
        out: &mut Vec<u8>,
    ) {
        if let Some(message) = field.message() {
            // In a list, null is an empty element.
            if matches!(value.content(), Content::Null) && message.well_known() != WellKnown::Value
            {
                return wire::put_bytes(out, field.number(), &[]);
            }
            wire::put_nested(out, field.number(), |out| self.message(message, value, out));
        } else {
            self.scalar(field, value, default, out);
        }
    }
}

/// What is expected of a oneof that `field` is a member of.
fn one_of_its_oneof(message: MessageType, field: FieldType) -> String {
    let members = message.fields().filter(|f| f.oneof() == field.oneof());
    let names: Vec<_> = members.map(FieldType::name).collect();
    format!("only one of {}", names.join(", "))
}

/// Whether null is a value of the field rather than its absence.
fn takes_null(field: FieldType) -> bool {
    field
        .message()
        .is_some_and(|m| m.well_known() == WellKnown::Value)
        || field
            .enumeration()
            .is_some_and(|e| e.name() == "google.protobuf.NullValue")
}

#[cfg(test)]
mod tests;
