//! `Matcher.MatcherList.Predicate`: what must hold of values.

use std::sync::Arc;

use nuncio_config::api::protobuf::value::Kind;
use nuncio_sdk::runtime::RuntimeFraction;
use nuncio_stats::{Group, stats_schema};
use twox_hash::XxHash64;

use super::addresses::{AddressSet, address_in};
use super::{Input, Value};
use crate::matchers::{StringMatcher, ValueMatcher};

#[derive(Debug)]
pub(super) enum Predicate<I> {
    Single(I, InputMatcher),
    Any(Box<[Predicate<I>]>),
    All(Box<[Predicate<I>]>),
    Not(Box<Predicate<I>>),
}

impl<I: Input> Predicate<I> {
    /// Whether it holds; `None` when an input is not known yet that decides.
    pub(super) fn holds<'t>(&'t self, data: I::Data<'t>) -> Option<bool> {
        match self {
            Predicate::Single(input, matcher) => match input.get(data) {
                Value::Pending => None,
                value => Some(matcher.matches(&value)),
            },
            Predicate::Any(predicates) => {
                let mut sure = true;
                for predicate in predicates {
                    match predicate.holds(data) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        // Another one may hold in any case.
                        None => sure = false,
                    }
                }
                sure.then_some(false)
            }
            Predicate::All(predicates) => {
                for predicate in predicates {
                    match predicate.holds(data) {
                        Some(true) => {}
                        other => return other,
                    }
                }
                Some(true)
            }
            Predicate::Not(predicate) => predicate.holds(data).map(|holds| !holds),
        }
    }
}

/// What a value is compared with (`value_match`, `custom_match`). An absent value matches none of them.
#[derive(Debug)]
pub(super) enum InputMatcher {
    String(StringMatcher),
    /// `input_matchers.runtime_fraction`: the value's hash is the dice.
    RuntimeFraction {
        fraction: RuntimeFraction,
        seed: u64,
    },
    /// `input_matchers.consistent_hashing`
    ConsistentHashing {
        threshold: u64,
        modulo: u64,
        seed: u64,
    },
    /// `input_matchers.ip`
    Address(AddressSet, Arc<Group>),
    /// `input_matchers.metadata`; texts never match it, inverted or not.
    Metadata {
        value: ValueMatcher,
        invert: bool,
    },
}

stats_schema! {
    /// `<stat_prefix>.` of an `input_matchers.ip`.
    pub(super) AddressStats {
        counters { ip_parsing_failed }
        gauges {}
        histograms {}
    }
}

impl InputMatcher {
    fn matches(&self, value: &Value<'_>) -> bool {
        let hash = |seed| value.text().map(|text| XxHash64::oneshot(seed, text));
        match self {
            InputMatcher::String(matcher) => value.text().is_some_and(|text| matcher.matches(text)),
            InputMatcher::RuntimeFraction { fraction, seed } => {
                hash(*seed).is_some_and(|hash| fraction.hit(hash))
            }
            InputMatcher::ConsistentHashing {
                threshold,
                modulo,
                seed,
            } => hash(*seed).is_some_and(|hash| hash % modulo >= *threshold),
            InputMatcher::Address(set, stats) => {
                let Some(text) = value.text().filter(|text| !text.is_empty()) else {
                    return false;
                };
                match address_in(text) {
                    Some(address) => set.contains(address),
                    None => {
                        stats.inc(AddressStats::IP_PARSING_FAILED);
                        false
                    }
                }
            }
            InputMatcher::Metadata {
                value: matcher,
                invert,
            } => match value {
                Value::Metadata(value) => matcher.matches(value.map(|kind: &Kind| kind)) != *invert,
                _ => false,
            },
        }
    }
}
