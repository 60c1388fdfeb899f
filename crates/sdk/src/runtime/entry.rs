//! [`Entry`]: one value of the runtime, read in all the ways in which somebody may ask for it.

use nuncio_config::api::protobuf::{Struct, Value, value::Kind};
use nuncio_config::convert::Fraction;

/// A value (Envoy's `Snapshot::Entry`). What it cannot be read as is absent, and the default of who asks counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// As `/runtime` shows it.
    pub raw: String,
    /// A number that is not negative, without its fraction.
    pub integer: Option<u64>,
    /// A number.
    pub double: Option<f64>,
    /// A `FractionalPercent`.
    pub fraction: Option<Fraction>,
    /// A boolean, or a whole number: 0 is false.
    pub boolean: Option<bool>,
}

impl Entry {
    /// Reads a value. `raw` is shown in place of how it would be written.
    pub(super) fn new(value: &Value, raw: Option<&str>) -> Self {
        let mut entry = Self::default();
        match &value.kind {
            Some(Kind::NumberValue(number)) => {
                entry.set_number(*number);
                entry.raw = number.to_string();
            }
            Some(Kind::BoolValue(value)) => {
                entry.boolean = Some(*value);
                entry.raw = value.to_string();
            }
            Some(Kind::StringValue(text)) => {
                entry.raw.clone_from(text);
                if let Ok(number) = raw.unwrap_or(text).trim().parse() {
                    entry.set_number(number);
                }
            }
            Some(Kind::StructValue(fields)) => {
                entry.fraction = fraction(fields);
                entry.raw = written(fields);
            }
            Some(Kind::ListValue(_) | Kind::NullValue(_)) | None => {}
        }
        if let Some(raw) = raw.filter(|raw| !raw.is_empty()) {
            entry.raw = raw.into();
        }
        entry
    }

    fn set_number(&mut self, number: f64) {
        self.double = Some(number);
        if number < f64::from(i32::MAX) && number == f64::from(number as i32) {
            self.boolean = Some(number != 0.0);
        }
        if number >= 0.0 {
            self.integer = Some(number as u64);
        }
    }

    /// What a `FractionalPercent` of this key is: a whole number counts as percent, and more than 100 as always.
    pub fn as_fraction(&self) -> Option<Fraction> {
        let percent = |integer: u64| Fraction {
            numerator: integer.min(101) as u32,
            denominator: 100,
        };
        self.fraction.or_else(|| self.integer.map(percent))
    }
}

/// Whether a struct is a value, and no more levels of names.
pub(super) fn is_value(fields: &Struct) -> bool {
    let has = |name| fields.fields.contains_key(name);
    fields.fields.is_empty() || has("numerator") || has("denominator")
}

fn fraction(message: &Struct) -> Option<Fraction> {
    let mut fraction = Fraction {
        numerator: 0,
        denominator: 100,
    };
    for (name, value) in &message.fields {
        match (name.as_str(), &value.kind) {
            ("numerator", Some(Kind::NumberValue(number))) => fraction.numerator = *number as u32,
            ("numerator", _) => {}
            ("denominator", Some(Kind::StringValue(text))) => {
                fraction.denominator = match text.as_str() {
                    "HUNDRED" => 100,
                    "TEN_THOUSAND" => 10_000,
                    "MILLION" => 1_000_000,
                    _ => return None,
                };
            }
            _ => return None,
        }
    }
    Some(fraction)
}

/// As the configuration would write it. Envoy shows a dump of its memory, with random blanks.
fn written(message: &Struct) -> String {
    let mut fields: Vec<_> = message.fields.iter().collect();
    fields.sort_by_key(|(name, _)| *name);
    let fields = fields.into_iter().map(|(name, value)| match &value.kind {
        Some(Kind::NumberValue(number)) => format!("{name}: {number}"),
        Some(Kind::StringValue(text)) => format!("{name}: {text}"),
        Some(Kind::BoolValue(value)) => format!("{name}: {value}"),
        _ => format!("{name}: ..."),
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind) -> Entry {
        Entry::new(&Value { kind: Some(kind) }, None)
    }

    #[test]
    fn numbers_are_read_in_all_ways() {
        let entry = of(Kind::NumberValue(3.7));
        assert_eq!((entry.integer, entry.double), (Some(3), Some(3.7)));
        assert_eq!((entry.boolean, entry.raw.as_str()), (None, "3.7"));
        assert_eq!(of(Kind::NumberValue(0.0)).boolean, Some(false));
        assert_eq!(of(Kind::NumberValue(-1.0)).integer, None);
        assert_eq!(of(Kind::StringValue("12".into())).integer, Some(12));
        assert_eq!(of(Kind::StringValue("x".into())).double, None);
        assert_eq!(of(Kind::BoolValue(true)).boolean, Some(true));
        assert_eq!(of(Kind::BoolValue(true)).integer, None);
    }

    #[test]
    fn fractions_are_messages_or_percent() {
        let fields = [
            ("numerator", Kind::NumberValue(5.0)),
            ("denominator", Kind::StringValue("TEN_THOUSAND".into())),
        ];
        let mut message = Struct::default();
        for (name, kind) in fields {
            message
                .fields
                .insert(name.into(), Value { kind: Some(kind) });
        }
        assert!(is_value(&message));
        let entry = of(Kind::StructValue(message));
        assert_eq!(entry.raw, "{denominator: TEN_THOUSAND, numerator: 5}");
        let fraction = entry.as_fraction().unwrap();
        assert_eq!((fraction.numerator, fraction.denominator), (5, 10_000));
        let always = of(Kind::NumberValue(1e12)).as_fraction().unwrap();
        assert!(always.hit(99));
        assert_eq!(
            of(Kind::NumberValue(1.5)).as_fraction().unwrap().numerator,
            1
        );
    }
}
