//! The rules of single values: bounds, lengths, lists, and how a violation is told.

use std::{cmp::Ordering, fmt};

use crate::{
    schema::FieldType,
    wire::{self, WireValue},
};

use super::rules::signed;

/// The first value of field `number` of a rule.
pub(super) fn of(rules: &'static [u8], number: u32) -> Option<WireValue<'static>> {
    wire::find(rules, number)
}

/// Whether the boolean field `number` of a rule is set.
pub(super) fn flag(rules: &'static [u8], number: u32) -> bool {
    of(rules, number).is_some_and(|value| value.bits() != 0)
}

/// All values of field `number` of a rule.
pub(super) fn each(
    rules: &'static [u8],
    number: u32,
) -> impl Iterator<Item = WireValue<'static>> + Clone {
    wire::fields(rules)
        .flatten()
        .filter(move |f| f.number == number)
        .map(|f| f.value)
}

/// A value that bounds apply to.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
    /// A duration or a time.
    Nanos(i128),
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Int(b)) | (Self::Nanos(a), Self::Nanos(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Float(n) => write!(f, "{n}"),
            Self::Nanos(n) => go_duration(f, n),
        }
    }
}

/// A duration as Go prints it: `1ms`, `1.5s`, `5m0s`, `1h0m0s`.
fn go_duration(f: &mut fmt::Formatter<'_>, nanos: i128) -> fmt::Result {
    let decimal =
        |f: &mut fmt::Formatter<'_>, whole: u128, fraction: u128, digits: usize, unit: &str| {
            let fraction = format!("{fraction:0digits$}");
            match fraction.trim_end_matches('0') {
                "" => write!(f, "{whole}{unit}"),
                fraction => write!(f, "{whole}.{fraction}{unit}"),
            }
        };
    if nanos < 0 {
        f.write_str("-")?;
    }
    let n = nanos.unsigned_abs();
    match n {
        0 => f.write_str("0s"),
        1..1_000 => write!(f, "{n}ns"),
        1_000..1_000_000 => decimal(f, n / 1_000, n % 1_000, 3, "µs"),
        1_000_000..1_000_000_000 => decimal(f, n / 1_000_000, n % 1_000_000, 6, "ms"),
        _ => {
            let seconds = n / 1_000_000_000;
            if seconds >= 3600 {
                write!(f, "{}h", seconds / 3600)?;
            }
            if seconds >= 60 {
                write!(f, "{}m", seconds / 60 % 60)?;
            }
            decimal(f, seconds % 60, n % 1_000_000_000, 9, "s")
        }
    }
}

/// A value as the numeric rule `kind` sees it. Rules encode their bounds with the type that they are for.
pub(super) fn number(kind: u32, value: WireValue<'_>) -> Number {
    let bits = value.bits();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "32-bit values stand in the lower half"
    )]
    match kind {
        1 => Number::Float(f64::from(f32::from_bits(bits as u32))),
        2 => Number::Float(f64::from_bits(bits)),
        3 | 4 | 12 => Number::Int(i128::from(bits.cast_signed())),
        7 | 8 => Number::Int(i128::from(
            (bits >> 1).cast_signed() ^ -((bits & 1).cast_signed()),
        )),
        11 => Number::Int(i128::from((bits as u32).cast_signed())),
        _ => Number::Int(i128::from(bits)),
    }
}

/// A duration or time in nanoseconds.
pub(super) fn nanos(value: WireValue<'_>) -> i128 {
    let part = |number| {
        wire::find(value.bytes(), number).map_or(0, |v| i128::from(v.bits().cast_signed()))
    };
    part(1) * 1_000_000_000 + part(2)
}

/// const, lt, lte, gt, gte, in and not_in, which stand at 1 to 7 (durations: 2 to 8).
pub(super) fn bounds(
    rule: &'static [u8],
    shift: u32,
    value: Number,
    read: impl Fn(WireValue<'static>) -> Number,
) -> Option<String> {
    let bound = |number: u32| of(rule, number + shift).map(&read);
    if let Some(want) = bound(1)
        && value != want
    {
        return Some(format!("value must equal {want}"));
    }
    let upper = bound(2)
        .map(|n| (n, value < n, ')'))
        .or_else(|| bound(3).map(|n| (n, value <= n, ']')));
    let lower = bound(4)
        .map(|n| (n, value > n, '('))
        .or_else(|| bound(5).map(|n| (n, value >= n, '[')));
    let problem = match (lower, upper) {
        (Some((low, above, open)), Some((high, below, close))) => {
            let (inside, word) = if low < high {
                (above && below, "inside")
            } else {
                (above || below, "outside")
            };
            (!inside).then(|| format!("value must be {word} range {open}{low}, {high}{close}"))
        }
        (Some((low, false, open)), None) => Some(format!(
            "value must be greater than {}{low}",
            or_equal(open == '[')
        )),
        (None, Some((high, false, close))) => Some(format!(
            "value must be less than {}{high}",
            or_equal(close == ']')
        )),
        _ => None,
    };
    problem.or_else(|| {
        let list = |number: u32| each(rule, number + shift).map(&read);
        if list(6).next().is_some() && !list(6).any(|n| n == value) {
            return Some(format!("value must be in list {}", bracketed(list(6))));
        }
        list(7)
            .any(|n| n == value)
            .then(|| format!("value must not be in list {}", bracketed(list(7))))
    })
}

fn or_equal(yes: bool) -> &'static str {
    if yes { "or equal to " } else { "" }
}

fn bracketed(items: impl Iterator<Item = impl fmt::Display>) -> String {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    format!("[{}]", items.join(" "))
}

/// How a number of things misses its bounds, if it does.
pub(super) fn size(
    len: usize,
    min: Option<WireValue<'_>>,
    max: Option<WireValue<'_>>,
    unit: &str,
) -> Option<String> {
    let (min, max) = (min.map(WireValue::bits), max.map(WireValue::bits));
    let fits = min.is_none_or(|min| len as u64 >= min) && max.is_none_or(|max| len as u64 <= max);
    match (min, max) {
        _ if fits => None,
        (Some(min), Some(max)) => Some(format!("between {min} and {max} {unit}, inclusive")),
        (Some(min), None) => Some(format!("at least {min} {unit}")),
        (None, max) => {
            Some(format!("no more than {} {unit}", max.unwrap_or_default())).map(|text| {
                // Strings say "at most", lists "no more than".
                if unit.ends_with("(s)") {
                    text
                } else {
                    text.replace("no more than", "at most")
                }
            })
        }
    }
}

/// How a length misses the length that it must have, if it does.
pub(super) fn exact(len: usize, want: Option<WireValue<'_>>, unit: &str) -> Option<String> {
    let want = want?.bits();
    (len as u64 != want).then(|| format!("value length must be {want} {unit}"))
}

/// Bytes for a message.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether `needle` stands somewhere in `haystack`.
pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty()
        || haystack
            .windows(needle.len())
            .any(|window| window == needle)
}

/// const, prefix, suffix, contains, in and not_in, at these numbers.
pub(super) fn affixes(
    rule: &'static [u8],
    [constant, prefix, suffix, infix, list, not_list]: [u32; 6],
    value: &[u8],
) -> Option<String> {
    let text = |number| of(rule, number).map(WireValue::bytes);
    if let Some(want) = text(constant).filter(|want| *want != value) {
        return Some(format!("value must equal {}", lossy(want)));
    }
    if let Some(want) = text(prefix).filter(|want| !value.starts_with(want)) {
        return Some(format!("value does not have prefix {:?}", lossy(want)));
    }
    if let Some(want) = text(suffix).filter(|want| !value.ends_with(want)) {
        return Some(format!("value does not have suffix {:?}", lossy(want)));
    }
    if let Some(want) = text(infix).filter(|want| !contains(value, want)) {
        return Some(format!(
            "value does not contain substring {:?}",
            lossy(want)
        ));
    }
    let texts = |number| each(rule, number).map(WireValue::bytes);
    if texts(list).next().is_some() && !texts(list).any(|item| item == value) {
        return Some(format!(
            "value must be in list {}",
            bracketed(texts(list).map(lossy))
        ));
    }
    texts(not_list).any(|item| item == value).then(|| {
        format!(
            "value must not be in list {}",
            bracketed(texts(not_list).map(lossy))
        )
    })
}

/// What violates a bytes rule, if anything does.
pub(super) fn bytes(rule: &'static [u8], value: &[u8]) -> Option<String> {
    if flag(rule, 14) && value.is_empty() {
        return None;
    }
    exact(value.len(), of(rule, 13), "bytes")
        .or_else(|| {
            size(value.len(), of(rule, 2), of(rule, 3), "bytes")
                .map(|p| format!("value length must be {p}"))
        })
        .or_else(|| affixes(rule, [1, 5, 6, 7, 8, 9], value))
}

/// What violates an enum rule, if anything does.
pub(super) fn enumeration(field: FieldType, rule: &'static [u8], value: i32) -> Option<String> {
    if of(rule, 1).is_some_and(|want| signed(want) != value) {
        return Some(format!(
            "value must equal {}",
            of(rule, 1).map_or(0, signed)
        ));
    }
    let defined = || {
        field
            .enumeration()
            .is_none_or(|e| e.by_number(value).is_some())
    };
    if flag(rule, 2) && !defined() {
        return Some("value must be one of the defined enum values".into());
    }
    let list = |number| each(rule, number).map(signed);
    if list(3).next().is_some() && !list(3).any(|n| n == value) {
        return Some(format!("value must be in list {}", bracketed(list(3))));
    }
    list(4)
        .any(|n| n == value)
        .then(|| format!("value must not be in list {}", bracketed(list(4))))
}

/// What violates the rule of an `Any`, if anything does.
pub(super) fn any(rule: &'static [u8], value: &[u8]) -> Option<String> {
    let url = wire::find(value, 1).map_or(&[][..], WireValue::bytes);
    let urls = |number| each(rule, number).map(WireValue::bytes);
    if urls(2).next().is_some() && !urls(2).any(|u| u == url) {
        return Some(format!(
            "type URL must be in list {}",
            bracketed(urls(2).map(lossy))
        ));
    }
    urls(3).any(|u| u == url).then(|| {
        format!(
            "type URL must not be in list {}",
            bracketed(urls(3).map(lossy))
        )
    })
}
