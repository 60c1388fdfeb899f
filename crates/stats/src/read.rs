//! Reading: every stat by name, in order.
//!
//! Names are made group by group as the walk reaches them, so that a scrape of many clusters holds few names at a
//! time.

use std::collections::BTreeMap;
use std::fmt;

use crate::codes::Suffix;
use crate::config::StatsConfig;
use crate::group::Group;
use crate::histogram::{HistogramView, Merged};
use crate::name::join_into;
use crate::outside::Outside;
use crate::schema::Unit;
use crate::store::{Single, Store};

/// What kind of stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Goes up only.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A text.
    TextReadout,
    /// A distribution.
    Histogram,
}

/// Which stats to read: the query parameters `usedonly`, `filter`, `invert_filter` and `type` of Envoy's `/stats`.
#[derive(Clone, Copy, Default)]
pub struct Query<'a> {
    /// Only stats that were written since the start.
    pub used_only: bool,
    /// Only stats whose full name passes.
    pub filter: Option<&'a dyn Fn(&str) -> bool>,
    /// Only stats whose full name does not pass `filter`.
    pub invert_filter: bool,
    /// Only stats of this kind.
    pub kind: Option<Kind>,
    /// What is shown beside the store's own.
    pub outside: &'a [Outside],
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query")
            .field("used_only", &self.used_only)
            .field("filter", &self.filter.is_some())
            .field("invert_filter", &self.invert_filter)
            .field("kind", &self.kind)
            .field("outside", &self.outside.len())
            .finish()
    }
}

impl Query<'_> {
    /// Whether stats of `kind` are asked for.
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
    }

    pub(crate) fn passes(&self, name: &str) -> bool {
        self.filter
            .is_none_or(|filter| filter(name) != self.invert_filter)
    }
}

/// A stat's value at the time of reading.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Of a counter.
    Counter(u64),
    /// Of a gauge.
    Gauge(u64),
    /// Of a text readout.
    Text(&'a str),
    /// Of a histogram.
    Histogram(HistogramView<'a>),
}

/// A stat at the time of reading.
#[derive(Clone, Copy, Debug)]
pub struct Stat<'a> {
    /// The full name.
    pub name: &'a str,
    /// The value.
    pub value: Value<'a>,
    /// Whether it was written since the start.
    pub used: bool,
}

/// What a group or a single stat yields.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    Counter { value: u64, used: bool },
    Gauge { value: u64, used: bool },
    Text(String),
    Histogram { merged: Merged, unit: Unit },
}

impl Held {
    fn is_used(&self) -> bool {
        match self {
            Self::Counter { used, .. } | Self::Gauge { used, .. } => *used,
            Self::Text(text) => !text.is_empty(),
            Self::Histogram { merged, .. } => !merged.cumulative.is_empty(),
        }
    }

    /// Adds another stat of the same name, from another group; of two kinds the first stays.
    pub(crate) fn absorb(&mut self, other: Self) {
        match (self, other) {
            (
                Self::Counter { value, used },
                Self::Counter {
                    value: more,
                    used: also,
                },
            )
            | (
                Self::Gauge { value, used },
                Self::Gauge {
                    value: more,
                    used: also,
                },
            ) => {
                *value = value.wrapping_add(more);
                *used |= also;
            }
            (Self::Histogram { merged, .. }, Self::Histogram { merged: more, .. }) => {
                merged.absorb(&more)
            }
            _ => {}
        }
    }

    pub(crate) fn stat<'a>(&'a self, name: &'a str, config: &'a StatsConfig) -> Stat<'a> {
        let (value, used) = match self {
            Self::Counter { value, used } => (Value::Counter(*value), *used),
            Self::Gauge { value, used } => (Value::Gauge(*value), *used),
            Self::Text(text) => (Value::Text(text), !text.is_empty()),
            Self::Histogram { merged, unit } => {
                let view = HistogramView {
                    merged,
                    unit: *unit,
                    bounds: config.bounds(name),
                };
                (Value::Histogram(view), view.used())
            }
        };
        Stat { name, value, used }
    }
}

impl Store {
    /// Calls `visit` with every stat of `kinds` that the query asks for, sorted by name. Stops at the first error,
    /// which it returns.
    ///
    /// # Errors
    /// What `visit` answers.
    pub fn visit<E>(
        &self,
        kinds: &[Kind],
        query: &Query<'_>,
        mut visit: impl FnMut(&Stat<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let kinds: Vec<Kind> = kinds
            .iter()
            .copied()
            .filter(|kind| query.wants(*kind))
            .collect();
        let groups = self.groups();
        let mut groups = groups.iter().peekable();
        let mut pending: BTreeMap<String, Held> = BTreeMap::new();
        for kind in &kinds {
            self.for_each_single(*kind, |name, single| {
                insert(&mut pending, name, single.read())
            });
        }
        loop {
            // A group's names are not smaller than its prefix.
            while let Some(group) = groups.next_if(|group| {
                pending
                    .first_key_value()
                    .is_none_or(|(name, _)| **group.prefix() <= **name)
            }) {
                for kind in &kinds {
                    expand(group, *kind, |name, _, held| {
                        insert(&mut pending, name, held)
                    });
                }
            }
            let Some((name, held)) = pending.pop_first() else {
                return Ok(());
            };
            let stat = held.stat(&name, self.config());
            if self.shows(query, &stat) {
                visit(&stat)?;
            }
        }
    }

    /// Whether the query and the configuration let this stat be seen.
    pub(crate) fn shows(&self, query: &Query<'_>, stat: &Stat<'_>) -> bool {
        (stat.used || !query.used_only)
            && query.passes(stat.name)
            && self.config().matcher.accepts(stat.name)
    }
}

fn insert(pending: &mut BTreeMap<String, Held>, name: &str, held: Held) {
    match pending.get_mut(name) {
        Some(present) => present.absorb(held),
        None => {
            pending.insert(name.to_owned(), held);
        }
    }
}

/// Which stat of its kind in a group: an index, or a family and suffix of the per-code counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Index(u16),
    Code(u16, Suffix),
}

/// Calls `visit` with the full name, place and value of each stat of `kind` in `group`.
pub(crate) fn expand(group: &Group, kind: Kind, mut visit: impl FnMut(&str, Place, Held)) {
    let mut name = String::new();
    for index in 0..group.schema().count(kind) {
        let held = name_and_read(group, kind, index, &mut name);
        let at = usize::from(index);
        let absent = match kind {
            Kind::Histogram if group.schema().histograms[at].lazy => !group.has_recorded(at),
            _ => group.schema().sparse && !held.is_used(),
        };
        if !absent {
            visit(&name, Place::Index(index), held);
        }
    }
    if kind == Kind::Counter {
        for family in 0..group.schema().codes.len() as u16 {
            let codes = group.read_codes(usize::from(family));
            let used = codes.is_used();
            let completed = group.schema().completed[usize::from(family)];
            codes.for_each(completed, |suffix, value| {
                name_code(group, family, suffix, &mut name);
                visit(
                    &name,
                    Place::Code(family, suffix),
                    Held::Counter { value, used },
                );
            });
        }
    }
}

/// The full name and present value of one stat of a group, as [`expand`] gives them.
pub(crate) fn read_one(group: &Group, kind: Kind, place: Place) -> (String, Held) {
    let mut name = String::new();
    let held = match place {
        Place::Index(index) => name_and_read(group, kind, index, &mut name),
        Place::Code(family, suffix) => {
            name_code(group, family, suffix, &mut name);
            let codes = group.read_codes(usize::from(family));
            let (value, used) = (codes.get(suffix), codes.is_used());
            Held::Counter { value, used }
        }
    };
    (name, held)
}

fn name_and_read(group: &Group, kind: Kind, index: u16, name: &mut String) -> Held {
    let schema = group.schema();
    let at = usize::from(index);
    match kind {
        Kind::Counter => {
            join_into(name, group.prefix(), schema.counters[at]);
            let (value, used) = group.read_counter(index);
            Held::Counter { value, used }
        }
        Kind::Gauge => {
            join_into(name, group.prefix(), schema.gauges[at].name);
            let (value, written) = group.read_gauge(schema.counters.len() as u16 + index);
            let used = written || group.is_used_with(schema.gauges[at].used_with);
            Held::Gauge { value, used }
        }
        Kind::Histogram => {
            join_into(name, group.prefix(), schema.histograms[at].name);
            Held::Histogram {
                merged: group.read_histogram(at),
                unit: schema.histograms[at].unit,
            }
        }
        Kind::TextReadout => unreachable!("a schema has no text readouts"),
    }
}

fn name_code(group: &Group, family: u16, suffix: Suffix, name: &mut String) {
    join_into(
        name,
        group.prefix(),
        group.schema().codes[usize::from(family)],
    );
    name.push('_');
    suffix.write(name);
}

impl Single<'_> {
    /// The stat's present value.
    pub(crate) fn read(&self) -> Held {
        match self {
            Self::Counter(counter) => Held::Counter {
                value: counter.value(),
                used: counter.used(),
            },
            Self::Gauge(gauge) => Held::Gauge {
                value: gauge.value(),
                used: gauge.used(),
            },
            Self::TextReadout(text) => Held::Text(text.value()),
            Self::Histogram(histogram) => Held::Histogram {
                merged: histogram.merged(),
                unit: histogram.unit(),
            },
        }
    }
}
