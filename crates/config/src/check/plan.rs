//! [`Plan`]: what a check does with messages of one type, found out when the first of them is met. Ten thousand endpoints are
//! fifty thousand messages of five types: nothing of this is looked up for each.

use std::rc::Rc;

use super::{
    rules::{self, default_of, unwrap},
    values::{each, enumeration, flag, of},
};
use crate::{
    schema::{FieldType, Kind, MessageType, WellKnown},
    support::{self, Support},
    wire::{self, WireValue},
};

/// The plans of the types that were met.
#[derive(Default)]
pub(crate) struct Plans(Vec<Option<Rc<Plan>>>);

pub(super) struct Plan {
    pub(super) message: MessageType,
    /// By position in the message.
    pub(super) fields: Box<[FieldPlan]>,
    /// Positions of the fields that have rules.
    pub(super) ruled: Box<[usize]>,
    /// The fields are looked up in the support table.
    pub(super) supported: bool,
    /// The rules of this message apply.
    pub(super) checked: bool,
    /// Positions of the oneofs of which one field must be set.
    pub(super) required: Box<[usize]>,
}

pub(super) struct FieldPlan {
    pub(super) field: FieldType,
    number: u32,
    pub(super) oneof: Option<usize>,
    pub(super) support: Support,
    /// Nothing is to be said about its being set.
    pub(super) quiet: bool,
    pub(super) quick: Quick,
    /// Where the walk goes on.
    pub(super) inner: Option<Inner>,
}

/// The message that a field holds.
#[derive(Clone, Copy)]
pub(super) struct Inner {
    pub(super) message: MessageType,
    pub(super) well_known: WellKnown,
    /// Validation rules apply below.
    pub(super) rules: bool,
    /// It or something below it has some.
    pub(super) checked: bool,
    /// The support table applies below.
    pub(super) support: bool,
    pub(super) leaf: bool,
    pub(super) map: bool,
    pub(super) repeated: bool,
}

/// A test that most values pass and that takes no interpretation of rules. Who passes it passes the rules; who does not
/// is judged by them.
#[derive(Clone, Copy)]
pub(super) struct Quick {
    /// Without a value.
    absent: bool,
    present: Test,
}

#[derive(Clone, Copy, PartialEq)]
enum Test {
    Pass,
    /// Only the rules can tell.
    Slow,
    /// Some text.
    NotEmpty,
    /// An unsigned number, or a list of so many elements.
    Within(u64, u64),
    Elements(u64, u64),
    /// One of the values of an enum.
    Defined,
}

impl Plans {
    pub(super) fn get(&mut self, message: MessageType) -> Rc<Plan> {
        let index = message.index();
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        let plan = self.0[index].get_or_insert_with(|| Rc::new(Plan::new(message)));
        plan.clone()
    }
}

impl Plan {
    fn new(message: MessageType) -> Self {
        let entry = support::entry(message);
        let support = |field: FieldType| {
            let fields = entry.map_or(&[][..], |entry| entry.fields);
            let found = fields.iter().find(|(name, _)| *name == field.name());
            found.map_or(Support::Refused(""), |(_, support)| *support)
        };
        let fields = message.fields();
        let fields: Box<[_]> = fields.map(|f| FieldPlan::new(f, support(f))).collect();
        let ruled = fields.iter().enumerate();
        let ruled = ruled.filter(|(_, plan)| !plan.field.rules().is_empty());
        let oneofs = message.oneofs().enumerate();
        Self {
            ruled: ruled.map(|(position, _)| position).collect(),
            required: oneofs
                .filter(|(_, oneof)| oneof.is_required())
                .map(|(index, _)| index)
                .collect(),
            supported: !support::is_leaf(message),
            checked: message.is_checked() && !message.is_unchecked(),
            fields,
            message,
        }
    }

    /// The position of the field of this number.
    pub(super) fn position(&self, number: u32) -> Option<usize> {
        // Mostly numbers have no gaps.
        let guess = (number as usize).wrapping_sub(1);
        if self.fields.get(guess).is_some_and(|f| f.number == number) {
            return Some(guess);
        }
        let found = self.fields.binary_search_by_key(&number, |f| f.number);
        found.ok()
    }
}

impl FieldPlan {
    fn new(field: FieldType, support: Support) -> Self {
        let values = field.enumeration().map(|e| e.values());
        let warned = field.is_deprecated()
            || values.is_some_and(|mut values| values.any(|value| value.deprecated));
        let accepted = matches!(
            support,
            Support::Implemented | Support::Harmless(_) | Support::Extension(_)
        );
        Self {
            number: field.number(),
            oneof: field.oneof(),
            quiet: accepted && !warned,
            quick: Quick::new(field),
            inner: field.message().map(|message| Inner {
                message,
                well_known: message.well_known(),
                rules: !rules::skips(field),
                checked: message.is_checked(),
                support: support.is_walked(),
                leaf: support::is_leaf(message),
                map: field.is_map(),
                repeated: field.is_repeated(),
            }),
            support,
            field,
        }
    }

    /// Whether these values, those of one message, pass without a look at the rules.
    pub(super) fn passes<'a>(
        &self,
        mut values: impl DoubleEndedIterator<Item = WireValue<'a>>,
    ) -> bool {
        let Some(last) = values.next_back() else {
            return self.quick.absent;
        };
        match self.quick.present {
            Test::Elements(min, max) => (min..=max).contains(&(values.count() as u64 + 1)),
            test => test.passes(self.field, last),
        }
    }
}

impl Quick {
    fn new(field: FieldType) -> Self {
        let mut quick = Self {
            absent: true,
            present: Test::Pass,
        };
        for rule in wire::fields(field.rules()).flatten() {
            let (kind, rule) = (rule.number, rule.value.bytes());
            let test = Test::new(kind, rule, field);
            let absent = match kind {
                17 => !flag(rule, 2),
                18 => flag(rule, 5) || of(rule, 1).is_none_or(|min| min.bits() == 0),
                19 => flag(rule, 6) || of(rule, 1).is_none_or(|min| min.bits() == 0),
                20..=22 => !flag(rule, 1),
                _ if field.kind() == Kind::Message || !field.is_implicit() => true,
                _ => test != Test::Slow && test.passes(field, default_of(field.kind())),
            };
            quick.absent &= absent || field.oneof().is_some();
            quick.present = match (quick.present, test) {
                (one, Test::Pass) | (Test::Pass, one) => one,
                _ => Test::Slow,
            };
        }
        quick
    }
}

impl Test {
    fn new(kind: u32, rule: &'static [u8], field: FieldType) -> Self {
        let numbers: Vec<u32> = wire::fields(rule).flatten().map(|f| f.number).collect();
        let only = |known: &[u32]| numbers.iter().all(|number| known.contains(number));
        let bits = |number, default| of(rule, number).map_or(default, WireValue::bits);
        match kind {
            17 => Self::Pass,
            // min_items, max_items, items, ignore_empty
            18 if only(&[1, 2, 4, 5]) => {
                let items = each(rule, 4).map(WireValue::bytes);
                let mut items = items.flat_map(|rules| wire::fields(rules).flatten());
                match items
                    .all(|rule| Self::new(rule.number, rule.value.bytes(), field) == Self::Pass)
                {
                    true => Self::Elements(bits(1, 0), bits(2, u64::MAX)),
                    false => Self::Slow,
                }
            }
            // uint32 and uint64: lte, gte
            5 | 6 if only(&[3, 5]) => Self::Within(bits(5, 0), bits(3, u64::MAX)),
            // bool, without a wish
            13 if numbers.is_empty() => Self::Pass,
            // string: min_len, or min_bytes, of 1
            14 if only(&[2, 4]) && numbers.iter().all(|number| bits(*number, 0) <= 1) => {
                Self::NotEmpty
            }
            // enum: defined_only
            16 if only(&[2]) && !field.is_map() => Self::Defined,
            // any, duration, timestamp: required
            20..=22 if only(&[1]) => Self::Pass,
            _ => Self::Slow,
        }
    }

    fn passes(self, field: FieldType, value: WireValue<'_>) -> bool {
        match self {
            Self::Pass => true,
            Self::Slow | Self::Elements(..) => false,
            Self::NotEmpty => {
                let text = unwrap(field, value).bytes();
                !text.is_empty() && std::str::from_utf8(text).is_ok()
            }
            Self::Within(min, max) => (min..=max).contains(&unwrap(field, value).bits()),
            Self::Defined => enumeration(field, DEFINED_ONLY, rules::signed(value)).is_none(),
        }
    }
}

/// `EnumRules { defined_only: true }`
const DEFINED_ONLY: &[u8] = &[0x10, 1];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Checker, Frame};

    /// Values of every wire type, at and beyond the usual limits.
    const VALUES: &[WireValue<'static>] = &[
        WireValue::Varint(0),
        WireValue::Varint(1),
        WireValue::Varint(7),
        WireValue::Varint(100),
        WireValue::Varint(65_535),
        WireValue::Varint(65_536),
        WireValue::Varint(u32::MAX as u64),
        WireValue::Varint(u64::MAX),
        WireValue::Bytes(b""),
        WireValue::Bytes(b"a"),
        WireValue::Bytes(b"\xff"),
        WireValue::Bytes(b"some text"),
        // As wrappers: 0, 1, 100, 70,000.
        WireValue::Bytes(&[0x08, 0]),
        WireValue::Bytes(&[0x08, 1]),
        WireValue::Bytes(&[0x08, 100]),
        WireValue::Bytes(&[0x08, 0xf0, 0xa2, 0x04]),
    ];

    #[test]
    fn what_passes_quickly_passes_the_rules() {
        let mut quick = 0;
        for message in MessageType::all() {
            let plan = Plan::new(message);
            for &position in &plan.ruled {
                let field = &plan.fields[position];
                let lists = VALUES.iter().map(|value| vec![*value]);
                let long = [
                    vec![],
                    vec![WireValue::Bytes(b"a"); 2],
                    vec![WireValue::Varint(1); 2000],
                ];
                for values in lists.chain(long) {
                    if !field.passes(values.iter().copied()) {
                        continue;
                    }
                    quick += 1;
                    let mut checker = Checker::new(Plans::default());
                    let frame = Frame::whole(message, field.field);
                    checker.field_rules(frame, &values);
                    let errors = checker.findings.errors;
                    assert!(errors.is_empty(), "{errors:?} {values:?}");
                }
            }
        }
        assert!(quick > 1000, "{quick}");
    }
}
