//! protobuf's text format: every message, the well-known ones too, is written with its fields. Strict where JSON is lax: names
//! of fields and enum values as they are declared, no strings for numbers, nothing set twice.
//!
//! Unlike in Envoy, the names that a message has reserved are unknown like any other: nothing configured is passed over.

use std::collections::HashSet;

use crate::{
    front::{Content, Entries, Value},
    path::Step,
    schema::{FieldType, Kind, MessageType, WellKnown},
    suggest::nearest,
    wire::{put_bytes, put_nested},
};

use super::{Decoder, Default, FieldSet, MAX_DEPTH, Seen, one_of_its_oneof, scalar};

impl<'t> Decoder<'t> {
    /// The body of a message.
    fn text_message(&mut self, message: MessageType, value: Value<'t>, out: &mut Vec<u8>) {
        if self.depth > MAX_DEPTH - 4 {
            return self.error(value, "content was too deeply nested", None, None);
        }
        self.depth += 1;
        match value.content() {
            Content::Map(entries) if message.well_known() == WellKnown::Any => {
                self.text_any(message, entries, out);
            }
            Content::Map(entries) => self.text_fields(message, entries, out),
            _ => {
                let expected = format!("{{ fields of {} }}", message.name());
                self.mismatch(value, &expected);
            }
        }
        self.depth -= 1;
    }

    /// Fields in the order of the text.
    pub(super) fn text_fields(
        &mut self,
        message: MessageType,
        entries: Entries<'t>,
        out: &mut Vec<u8>,
    ) {
        let mut set = FieldSet::default();
        let mut repeated: Vec<(FieldType, Repeated<'t>)> = Vec::new();
        let mut before = None;
        for (key, value) in entries {
            let Some(field) = self.text_field(message, key) else {
                continue;
            };
            if field.is_repeated() {
                let at = repeated.iter().position(|(known, _)| *known == field);
                let at = at.unwrap_or_else(|| {
                    repeated.push((field, Repeated::default()));
                    repeated.len() - 1
                });
                // Elements that other fields stand between.
                self.out.repeats |= repeated[at].1.count > 0 && before != Some(field);
                let mut so_far = std::mem::take(&mut repeated[at].1);
                self.under(Step::Field(field.name()), |this| match value.content() {
                    Content::List(items) => {
                        items.for_each(|item| this.text_element(field, item, &mut so_far, out));
                    }
                    _ => this.text_element(field, value, &mut so_far, out),
                });
                repeated[at].1 = so_far;
            } else if self.text_set_once(message, field, key, &mut set) {
                self.under(Step::Field(field.name()), |this| {
                    this.text_value(field, value, Default::of(field), out);
                });
            }
            before = Some(field);
        }
    }

    /// The field of a name; reports that there is none.
    fn text_field(&mut self, message: MessageType, key: Value<'t>) -> Option<FieldType> {
        let name = key.as_str().unwrap_or_default();
        // Only the declared names: protobuf's text format knows no camelCase.
        let found = message.field_by_name(name).filter(|f| f.name() == name);
        if found.is_none() {
            // Envoy's --allow-unknown-static-fields does not reach this format.
            let allowed = std::mem::take(&mut self.allow_unknown);
            match name.strip_prefix('[') {
                Some(url) => {
                    let message = message.name();
                    let text =
                        format!("[{url}] stands in {message}, which is no google.protobuf.Any");
                    self.unknown(key, text, None);
                }
                None => self.no_such_field(message, name, key),
            }
            self.allow_unknown = allowed;
        }
        found
    }

    /// Whether a singular field may be set.
    fn text_set_once(
        &mut self,
        message: MessageType,
        field: FieldType,
        key: Value<'t>,
        set: &mut FieldSet,
    ) -> bool {
        let name = field.name();
        let (text, expected) = match set.insert(message, field) {
            Seen::First => return true,
            Seen::Again => (
                format!("non-repeated field \"{name}\" is specified multiple times"),
                None,
            ),
            Seen::OtherOfOneof => (
                format!("field \"{name}\" is specified along with another member of its oneof"),
                Some(one_of_its_oneof(message, field)),
            ),
        };
        self.under(Step::Field(name), |this| {
            this.error(key, text, expected, None);
        });
        false
    }

    fn text_element(
        &mut self,
        field: FieldType,
        value: Value<'t>,
        so_far: &mut Repeated<'t>,
        out: &mut Vec<u8>,
    ) {
        let step = match field.message().filter(|_| field.is_map()) {
            None => Step::Index(so_far.count),
            Some(_) => {
                let key = value.get("key").and_then(|(_, key)| match key.content() {
                    Content::Str(text) | Content::Word(text) | Content::Number(text) => Some(text),
                    _ => None,
                });
                // The last one of a key counts, which is for `normalise` to see to.
                let key = key.unwrap_or_default();
                self.out.repeats |= !so_far.keys.insert(key);
                Step::Key(key)
            }
        };
        so_far.count += 1;
        self.under(step, |this| {
            this.text_value(field, value, Default::Write, out)
        });
    }

    /// One value of a field, whatever the field's label.
    fn text_value(
        &mut self,
        field: FieldType,
        value: Value<'t>,
        default: Default,
        out: &mut Vec<u8>,
    ) {
        if let Some(message) = field.message() {
            return put_nested(out, field.number(), |out| {
                // The entry of a map is no step of a path.
                match value.content() {
                    Content::Map(entries) if message.is_map_entry() => {
                        self.text_entry(message, entries, out);
                    }
                    _ => self.text_message(message, value, out),
                }
            });
        }
        match (field.kind(), value.content()) {
            (Kind::String | Kind::Bytes, Content::Str(text)) => {
                if default == Default::Write || !text.is_empty() {
                    put_bytes(out, field.number(), text.as_bytes());
                }
            }
            (Kind::Bytes, Content::Bytes(text)) => {
                let bytes: Vec<u8> = text.chars().filter_map(|c| u8::try_from(c).ok()).collect();
                put_bytes(out, field.number(), &bytes);
            }
            (Kind::String, Content::Bytes(_)) => {
                self.error(value, "a string that is not valid UTF-8", None, None);
            }
            (Kind::String | Kind::Bytes, _) => self.not_a_string(value),
            (kind @ (Kind::Double | Kind::Float), content) => match text_float(&content) {
                Some(float) => scalar::put_float(out, field.number(), kind, float, default),
                None => self.mismatch(value, "a number"),
            },
            (kind, _) => {
                let bits = match kind {
                    Kind::Bool => self.text_bool(value),
                    Kind::Enum => self.text_enum(field, value),
                    _ => self.text_integer(value, kind),
                };
                if let Some(bits) = bits.filter(|bits| default == Default::Write || *bits != 0) {
                    scalar::put_integral(out, field.number(), kind, bits);
                }
            }
        }
    }

    /// `key: … value: …` of a map.
    fn text_entry(&mut self, entry: MessageType, entries: Entries<'t>, out: &mut Vec<u8>) {
        let mut set = FieldSet::default();
        for (key, value) in entries {
            let Some(field) = self.text_field(entry, key) else {
                continue;
            };
            if self.text_set_once(entry, field, key, &mut set) {
                self.text_value(field, value, Default::Write, out);
            }
        }
    }

    fn text_bool(&mut self, value: Value<'t>) -> Option<u64> {
        let known = match value.content() {
            Content::Word("true" | "True" | "t") => Some(1),
            Content::Word("false" | "False" | "f") => Some(0),
            Content::Number(text) => text_int(text).and_then(|n| u64::try_from(n).ok()),
            _ => None,
        };
        let known = known.filter(|bits| *bits < 2);
        if known.is_none() {
            self.mismatch(value, "true or false");
        }
        known
    }

    fn text_enum(&mut self, field: FieldType, value: Value<'t>) -> Option<u64> {
        let descriptor = field.enumeration()?;
        let (text, shown) = match value.content() {
            Content::Number(_) => return self.text_integer(value, Kind::Int32),
            Content::Word(text) => (text, format!("unknown enum value: '{text}'")),
            Content::Str(text) => (text, format!("an enum value stands without quotes: {text}")),
            _ => {
                self.mismatch(value, "the name or number of an enum value");
                return None;
            }
        };
        let named = descriptor.values().find(|v| v.name == text);
        if let (Some(named), Content::Word(_)) = (named, value.content()) {
            return Some(scalar::low_bits(i128::from(named.number)));
        }
        let names: Vec<_> = descriptor.values().map(|v| v.name).collect();
        // Other than in YAML, case matters.
        let near = descriptor.by_name(text).map(|v| v.name);
        let near = near.or_else(|| nearest(text, names.iter().copied()));
        self.error(
            value,
            shown,
            Some(format!("one of {}", names.join(", "))),
            near.map(|near| format!("did you mean {near}?")),
        );
        None
    }

    fn text_integer(&mut self, value: Value<'t>, kind: Kind) -> Option<u64> {
        let Content::Number(text) = value.content() else {
            self.mismatch(value, "an integer");
            return None;
        };
        let Some(n) = text_int(text) else {
            let message = "expected integer, but the number has a fraction or an exponent";
            self.error(value, message, Some("an integer".into()), None);
            return None;
        };
        self.in_range(value, n, kind).map(scalar::low_bits)
    }

    /// `[type URL] { fields }`, or `type_url` and `value` like any message.
    fn text_any(&mut self, any: MessageType, entries: Entries<'t>, out: &mut Vec<u8>) {
        let expanded = entries.clone().find_map(|(key, value)| {
            let url = key.as_str().and_then(|name| name.strip_prefix('['))?;
            Some((url, key, value))
        });
        let Some((url, url_key, value)) = expanded else {
            // What the bytes hold is looked at when they are brought into normal form.
            self.out.repeats |= entries.clone().next().is_some();
            return self.text_fields(any, entries, out);
        };
        if let Some((other, _)) = entries
            .filter(|(key, _)| key.place() != url_key.place())
            .last()
        {
            return self.error(other, "an expanded Any holds nothing else", None, None);
        }
        let Some(message) = self.type_of(url, url_key) else {
            return;
        };
        // `normalise` makes of it what it describes.
        self.out.repeats |= super::any::is_typed_struct(message);
        put_bytes(out, 1, url.as_bytes());
        put_nested(out, 2, |out| self.text_message(message, value, out));
    }
}

/// What a repeated field has had so far.
#[derive(Default)]
struct Repeated<'t> {
    count: usize,
    /// Of a map.
    keys: HashSet<&'t str>,
}

/// A decimal, octal or hexadecimal integer.
fn text_int(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let hex = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let magnitude = match hex {
        Some(hex) => u64::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(digits, 8),
        None => digits.parse(),
    };
    Some(sign * i128::from(magnitude.ok()?))
}

fn text_float(content: &Content<'_>) -> Option<f64> {
    match *content {
        // A float in decimal digits only; an integer may be octal or hexadecimal.
        #[expect(clippy::cast_precision_loss, reason = "the nearest double is meant")]
        Content::Number(text) => text_int(text)
            .map(|n| n as f64)
            .or_else(|| text.parse().ok()),
        Content::Word(text) => {
            let (sign, word) = match text.strip_prefix('-') {
                Some(word) => (-1.0, word),
                None => (1.0, text),
            };
            let known = ["inf", "infinity", "nan"];
            let value: f64 = known
                .iter()
                .any(|k| word.eq_ignore_ascii_case(k))
                .then(|| word.parse().ok())??;
            Some(sign * value)
        }
        _ => None,
    }
}
