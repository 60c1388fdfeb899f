//! protoc-gen-validate's rules, interpreted from the encoded `validate.FieldRules` that the schema holds. Messages are
//! those of Envoy's (C++) code.

use std::collections::HashSet;

use regex_automata::meta::Regex;

use super::{
    Checker, Element, Frame, formats,
    plan::Plan,
    values::{
        Number, affixes, any, bounds, bytes, contains, enumeration, exact, flag, lossy, nanos,
        number, of, size,
    },
};
use crate::{
    ConfigError,
    schema::{FieldType, Kind, OneofType, WellKnown},
    wire::{self, WireValue},
};

/// The number of a rule, its test, and what a text that passes is.
type Format = (u32, fn(&str) -> bool, &'static str);

/// Whether the rules say not to look into the message that `field` holds.
pub(super) fn skips(field: FieldType) -> bool {
    let rules = field.rules();
    !rules.is_empty() && of(rules, 17).is_some_and(|rules| flag(rules.bytes(), 1))
}

/// The value of a varint as a signed 32-bit integer.
#[expect(
    clippy::cast_possible_truncation,
    reason = "enum numbers are written as 64-bit two's complement"
)]
pub(super) fn signed(value: WireValue<'_>) -> i32 {
    value.bits() as i32
}

impl<'a> Checker<'a> {
    /// Applies the rules of a message to its fields, which stand in `present` from `start` on.
    pub(super) fn rules(&mut self, plan: &Plan, start: usize) {
        let message = plan.message;
        for &position in &plan.ruled {
            let field = &plan.fields[position];
            let present = self.present[start..].iter();
            let values = present.filter(|(at, _)| *at == position).map(|(_, v)| *v);
            if field.passes(values.clone()) {
                continue;
            }
            let values: Vec<WireValue<'a>> = values.collect();
            let frame = Frame::whole(message, field.field);
            self.field_rules(frame, &values);
        }
        for &index in &plan.required {
            let present = self.present[start..].iter();
            let mut oneofs = present.map(|(position, _)| plan.fields[*position].oneof);
            if !oneofs.any(|oneof| oneof == Some(index)) {
                let choices: Vec<_> = message
                    .fields()
                    .filter(|f| f.oneof() == Some(index))
                    .map(FieldType::name)
                    .collect();
                let name = message.oneofs().nth(index).map_or("", OneofType::name);
                let reason = format!("field: \"{name}\", reason: is required");
                let error = self
                    .constraint(reason)
                    .with_remedy(format!("set one of {}", choices.join(", ")));
                self.findings.errors.push(error);
            }
        }
    }

    /// Applies the rules of the field of `whole` to its values.
    pub(super) fn field_rules(&mut self, whole: Frame<'a>, values: &[WireValue<'a>]) {
        let field = whole.field;
        let rules = field.rules();
        for rule in wire::fields(rules).flatten() {
            let (kind, rule) = (rule.number, rule.value.bytes());
            // A member of a oneof that is not the chosen one has no rules.
            if values.is_empty() && field.oneof().is_some() {
                return;
            }
            match kind {
                17 if flag(rule, 2) && values.is_empty() => {
                    self.violation(whole, "value is required")
                }
                17 => {}
                18 => self.repeated(whole, rule, values),
                19 => self.map(whole, rule, values),
                20..=22 if values.is_empty() => {
                    if flag(rule, 1) {
                        self.violation(whole, "value is required");
                    }
                }
                _ => {
                    // A wrapper, a member of a oneof and an optional field have no rules while they are absent.
                    let absent_is_fine = field.kind() == Kind::Message || !field.is_implicit();
                    let default = default_of(field.kind());
                    match values.last() {
                        None if absent_is_fine => {}
                        value => self.one(whole, kind, rule, value.copied().unwrap_or(default)),
                    }
                }
            }
        }
    }

    /// The rule `kind` of one value.
    fn one(&mut self, frame: Frame<'a>, kind: u32, rule: &'static [u8], value: WireValue<'a>) {
        let value = unwrap(frame.field, value);
        let problem = match kind {
            1..=12 if flag(rule, 8) && value.bits() == 0 => None,
            1..=12 => bounds(rule, 0, number(kind, value), |rule| number(kind, rule)),
            13 => of(rule, 1)
                .filter(|want| (want.bits() != 0) != (value.bits() != 0))
                .map(|want| format!("value must equal {}", want.bits() != 0)),
            14 => self.string(rule, value.bytes()),
            15 => bytes(rule, value.bytes()),
            16 => enumeration(frame.field, rule, signed(value)),
            20 => any(rule, value.bytes()),
            21 | 22 => bounds(rule, 1, Number::Nanos(nanos(value)), |rule| {
                Number::Nanos(nanos(rule))
            }),
            _ => None,
        };
        if let Some(problem) = problem {
            self.violation(frame, &problem);
        }
    }

    fn repeated(&mut self, frame: Frame<'a>, rule: &'static [u8], values: &[WireValue<'a>]) {
        if flag(rule, 5) && values.is_empty() {
            return;
        }
        if let Some(problem) = size(values.len(), of(rule, 1), of(rule, 2), "item(s)") {
            self.violation(frame, &format!("value must contain {problem}"));
        }
        if flag(rule, 3) {
            let mut seen = HashSet::new();
            for (i, value) in values.iter().enumerate() {
                if !seen.insert((value.bits(), value.bytes())) {
                    self.violation(
                        Frame {
                            element: Element::Index(i),
                            ..frame
                        },
                        "repeated value must contain unique items",
                    );
                }
            }
        }
        let Some(items) = of(rule, 4) else { return };
        for rule in wire::fields(items.bytes())
            .flatten()
            .filter(|rule| rule.number != 17)
        {
            for (i, value) in values.iter().enumerate() {
                self.one(
                    Frame {
                        element: Element::Index(i),
                        ..frame
                    },
                    rule.number,
                    rule.value.bytes(),
                    *value,
                );
            }
        }
    }

    fn map(&mut self, frame: Frame<'a>, rule: &'static [u8], values: &[WireValue<'a>]) {
        if flag(rule, 6) && values.is_empty() {
            return;
        }
        if let Some(problem) = size(values.len(), of(rule, 1), of(rule, 2), "pair(s)") {
            self.violation(frame, &format!("value must contain {problem}"));
        }
        let Some(entry) = frame.field.message() else {
            return;
        };
        for (number, part) in [(4, 1), (5, 2)] {
            let (Some(rules), Some(field)) = (of(rule, number), entry.field_by_number(part)) else {
                continue;
            };
            for rule in wire::fields(rules.bytes())
                .flatten()
                .filter(|rule| rule.number != 17)
            {
                for value in values {
                    let key = wire::find(value.bytes(), 1).map_or(&[][..], WireValue::bytes);
                    let element = Element::Key(std::str::from_utf8(key).unwrap_or_default());
                    let value = wire::find(value.bytes(), part).unwrap_or(default_of(field.kind()));
                    // The field of the frame is the map: only its elements have the entry's kinds.
                    let problem = match rule.number {
                        14 => self.string(rule.value.bytes(), value.bytes()),
                        16 => enumeration(field, rule.value.bytes(), signed(value)),
                        kind @ 1..=12 => bounds(
                            rule.value.bytes(),
                            0,
                            self::number(kind, unwrap(field, value)),
                            |rule| self::number(kind, rule),
                        ),
                        _ => None,
                    };
                    if let Some(problem) = problem {
                        self.violation(Frame { element, ..frame }, &problem);
                    }
                }
            }
        }
    }

    fn string(&mut self, rule: &'static [u8], value: &[u8]) -> Option<String> {
        if flag(rule, 26) && value.is_empty() {
            return None;
        }
        let text = std::str::from_utf8(value).unwrap_or_default();
        let characters = text.chars().count();
        let lengths = exact(characters, of(rule, 19), "characters")
            .or_else(|| {
                size(characters, of(rule, 2), of(rule, 3), "characters")
                    .map(|p| format!("value length must be {p}"))
            })
            .or_else(|| exact(value.len(), of(rule, 20), "bytes"))
            .or_else(|| {
                size(value.len(), of(rule, 4), of(rule, 5), "bytes")
                    .map(|p| format!("value length must be {p}"))
            });
        lengths
            .or_else(|| affixes(rule, [1, 7, 8, 9, 10, 11], value))
            .or_else(|| self.string_format(rule, text))
    }

    fn string_format(&mut self, rule: &'static [u8], text: &str) -> Option<String> {
        if let Some(part) = of(rule, 23).filter(|part| contains(text.as_bytes(), part.bytes())) {
            return Some(format!(
                "value contains substring {:?}",
                lossy(part.bytes())
            ));
        }
        if let Some(pattern) = of(rule, 6) {
            let regex = self
                .regexes
                .entry(pattern.bytes())
                .or_insert_with(|| Regex::new(&lossy(pattern.bytes())).ok());
            if !regex.as_ref().is_some_and(|regex| regex.is_match(text)) {
                return Some(format!(
                    "value does not match regex pattern \"{}\"",
                    lossy(pattern.bytes())
                ));
            }
        }
        if let Some(known) = of(rule, 24) {
            let strict = of(rule, 25).is_none_or(|strict| strict.bits() != 0);
            let (matches, pattern) = formats::header(known.bits(), strict);
            return (!matches(text))
                .then(|| format!("value does not match regex pattern \"{pattern}\""));
        }
        let formats: [Format; 7] = [
            (12, formats::is_email, "a valid email address"),
            (13, formats::is_hostname, "a valid hostname"),
            (14, formats::is_ip, "a valid IP address"),
            (
                15,
                |text| text.parse::<std::net::Ipv4Addr>().is_ok(),
                "a valid IPv4 address",
            ),
            (
                16,
                |text| text.parse::<std::net::Ipv6Addr>().is_ok(),
                "a valid IPv6 address",
            ),
            (
                21,
                |text| formats::is_ip(text) || formats::is_hostname(text),
                "a valid hostname, or ip address",
            ),
            (22, formats::is_uuid, "a valid UUID"),
        ];
        let failed = formats
            .into_iter()
            .find(|(number, is_valid, _)| flag(rule, *number) && !is_valid(text));
        failed.map(|(_, _, what)| format!("value must be {what}"))
    }

    fn violation(&mut self, frame: Frame<'a>, problem: &str) {
        self.frames.push(frame);
        let reason = format!("{}: {problem}", violation_name(&frame));
        let error = self.chained(self.frames.len() - 1, reason);
        self.findings.errors.push(error);
        self.frames.pop();
    }

    /// An error about the message that is being walked, not about a field of it.
    fn constraint(&self, reason: String) -> ConfigError {
        self.chained(self.frames.len(), reason)
    }

    /// Envoy's text: from the root (or the innermost `Any`) through the first `outer` frames down to `reason`.
    fn chained(&self, outer: usize, reason: String) -> ConfigError {
        let mut text = String::from("Proto constraint validation failed (");
        for frame in self.frames[..outer].iter().skip(self.root) {
            text.push_str(&violation_name(frame));
            text.push_str(": embedded message failed validation | caused by ");
        }
        text.push_str(&reason);
        text.push(')');
        ConfigError::new(self.path(), text)
    }
}

/// `ClusterValidationError.HealthChecks[0]`.
fn violation_name(frame: &Frame<'_>) -> String {
    let mut name = format!("{}ValidationError.", frame.message.short_name());
    for word in frame.field.name().split('_') {
        let mut chars = word.chars();
        name.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        name.push_str(chars.as_str());
    }
    match frame.element {
        Element::Whole => {}
        Element::Index(index) => name.push_str(&format!("[{index}]")),
        Element::Key(key) => name.push_str(&format!("[{key}]")),
    }
    name
}

pub(super) fn default_of(kind: Kind) -> WireValue<'static> {
    match kind {
        Kind::String | Kind::Bytes | Kind::Message => WireValue::Bytes(&[]),
        _ => WireValue::Varint(0),
    }
}

/// The value in a wrapper message; any other value itself.
pub(super) fn unwrap(field: FieldType, value: WireValue<'_>) -> WireValue<'_> {
    match field.message() {
        Some(wrapper) if wrapper.well_known() == WellKnown::Wrapper => {
            let kind = wrapper
                .field_by_number(1)
                .map_or(Kind::Bytes, FieldType::kind);
            wire::find(value.bytes(), 1).unwrap_or(default_of(kind))
        }
        _ => value,
    }
}
