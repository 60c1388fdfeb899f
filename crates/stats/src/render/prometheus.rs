//! `/stats/prometheus`: Prometheus' text format, grouped by the name without its tags.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use super::HistogramBuckets;
use crate::group::Group;
use crate::histogram::{HistogramView, QUANTILES, Span};
use crate::number::{write_general, write_shortest};
use crate::outside::Outside;
use crate::read::{Held, Kind, Place, Query, Value, expand, read_one};
use crate::store::Store;
use crate::tags::Finder;

/// A stat's name, ordered as Envoy orders them: token by token.
#[derive(Debug, PartialEq, Eq)]
struct Dotted(String);

impl Ord for Dotted {
    fn cmp(&self, other: &Self) -> Ordering {
        // The end of a token sorts before all that could stand there instead.
        let rank = |byte: &u8| if *byte == b'.' { 0 } else { *byte };
        let (own, others) = (self.0.as_bytes(), other.0.as_bytes());
        let same = own.iter().zip(others).take_while(|(a, b)| a == b).count();
        own.get(same).map(rank).cmp(&others.get(same).map(rank))
    }
}

impl PartialOrd for Dotted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Store {
    /// Writes what `/stats/prometheus` answers: counters, gauges, text readouts if `text_readouts`, histograms. Of
    /// `buckets` only [`HistogramBuckets::Summary`] (of the last interval) and [`HistogramBuckets::Cumulative`] exist
    /// here; others write the latter.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_prometheus(
        &self,
        query: &Query<'_>,
        text_readouts: bool,
        buckets: HistogramBuckets,
        out: &mut dyn Write,
    ) -> fmt::Result {
        let summary = buckets == HistogramBuckets::Summary;
        self.write_kind(Kind::Counter, query, "counter", summary, out)?;
        self.write_kind(Kind::Gauge, query, "gauge", summary, out)?;
        if text_readouts {
            self.write_kind(Kind::TextReadout, query, "gauge", summary, out)?;
        }
        let of_histograms = if summary { "summary" } else { "histogram" };
        self.write_kind(Kind::Histogram, query, of_histograms, summary, out)?;
        self.write_outside(Kind::Counter, query, "counter", out)?;
        self.write_outside(Kind::Gauge, query, "gauge", out)
    }

    /// As in Envoy, their metrics are never those of other stats.
    fn write_outside(
        &self,
        kind: Kind,
        query: &Query<'_>,
        type_name: &str,
        out: &mut dyn Write,
    ) -> fmt::Result {
        let mut all: Vec<&Outside> = query.outside().filter(|one| one.kind == kind).collect();
        all.sort_by_key(|one| (&one.extracted_name, &one.name));
        let mut finder = Finder::new(self.tags());
        finder.search("");
        let mut labels = String::new();
        for metric in all.chunk_by(|a, b| a.extracted_name == b.extracted_name) {
            let name = metric_name(&metric[0].extracted_name);
            writeln!(out, "# TYPE {name} {type_name}")?;
            for one in metric {
                labels.clear();
                write_labels(&mut labels, finder.tags(""));
                let tags = one.tags.iter();
                write_labels(&mut labels, tags.map(|(tag, value)| (*tag, value.as_str())));
                writeln!(out, "{name}{{{labels}}} {}", one.value)?;
            }
        }
        Ok(())
    }

    fn write_kind(
        &self,
        kind: Kind,
        query: &Query<'_>,
        type_name: &str,
        summary: bool,
        out: &mut dyn Write,
    ) -> fmt::Result {
        if !query.wants(kind) {
            return Ok(());
        }
        let sources = Sources::new(self, kind);
        let mut finder = Finder::new(self.tags());
        let (mut text, mut labels) = (String::new(), String::new());
        for (extracted, handles) in sources.by_extracted_name(self, query) {
            let metric = metric_name(&extracted.0);
            text.clear();
            text.push_str(&format!("# TYPE {metric} {type_name}\n"));
            for (name, held) in sources.read(&handles) {
                finder.search(&name.0);
                labels.clear();
                write_labels(&mut labels, finder.tags(&name.0));
                match held.stat(&name.0, self.config()).value {
                    Value::Counter(value) | Value::Gauge(value) => {
                        text.push_str(&format!("{metric}{{{labels}}} {value}\n"));
                    }
                    Value::Text(value) => {
                        write_labels(&mut labels, [("text_value", value)]);
                        text.push_str(&format!("{metric}{{{labels}}} 1\n"));
                    }
                    Value::Histogram(view) if summary => {
                        write_summary(&mut text, &metric, &labels, &view);
                    }
                    Value::Histogram(view) => write_histogram(&mut text, &metric, &labels, &view),
                }
            }
            out.write_str(&text)?;
        }
        Ok(())
    }
}

/// All stats of one kind. A scrape of many clusters must hold all of them at once to sort them by metric, so they are
/// held as numbers, and names are made again when written.
struct Sources {
    kind: Kind,
    groups: Vec<Arc<Group>>,
    singles: Vec<(String, Held)>,
}

/// One of [`Sources`].
#[derive(Clone, Copy)]
enum Handle {
    Group(u32, Place),
    Single(u32),
}

impl Sources {
    fn new(store: &Store, kind: Kind) -> Self {
        let mut singles = Vec::new();
        store.for_each_single(kind, |name, single| {
            singles.push((name.to_owned(), single.read()))
        });
        Self {
            kind,
            groups: store.groups(),
            singles,
        }
    }

    /// The stats that the query asks for, by name without tags.
    fn by_extracted_name(&self, store: &Store, query: &Query<'_>) -> BTreeMap<Dotted, Vec<Handle>> {
        let mut found: BTreeMap<Dotted, Vec<Handle>> = BTreeMap::new();
        let mut finder = Finder::new(store.tags());
        let mut key = Dotted(String::new());
        let mut add = |name: &str, held: &Held, handle: Handle| {
            if !store.shows(query, &held.stat(name, store.config())) {
                return;
            }
            finder.search(name);
            finder.write_name(name, &mut key.0);
            match found.get_mut(&key) {
                Some(handles) => handles.push(handle),
                None => {
                    found.insert(Dotted(key.0.clone()), vec![handle]);
                }
            }
        };
        for (index, (name, held)) in self.singles.iter().enumerate() {
            add(name, held, Handle::Single(index as u32));
        }
        for (index, group) in self.groups.iter().enumerate() {
            expand(group, self.kind, |name, place, held| {
                add(name, &held, Handle::Group(index as u32, place));
            });
        }
        found
    }

    /// Names and values, sorted; stats of one name are one.
    fn read(&self, handles: &[Handle]) -> Vec<(Dotted, Held)> {
        let read = handles.iter().map(|handle| match *handle {
            Handle::Group(group, place) => read_one(&self.groups[group as usize], self.kind, place),
            Handle::Single(single) => self.singles[single as usize].clone(),
        });
        let mut stats: Vec<(Dotted, Held)> =
            read.map(|(name, held)| (Dotted(name), held)).collect();
        stats.sort_by(|a, b| a.0.cmp(&b.0));
        stats.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1.absorb(later.1.clone());
            }
            same
        });
        stats
    }
}

/// `envoy_` and the name, what Prometheus does not allow replaced.
fn metric_name(extracted: &str) -> String {
    let mut name = String::from("envoy_");
    push_sanitized(&mut name, extracted);
    name
}

fn push_sanitized(out: &mut String, name: &str) {
    // Envoy replaces byte by byte.
    out.extend(name.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte)
        } else {
            '_'
        }
    }));
}

/// `name="value",…`, after what is there already.
fn write_labels<'a>(out: &mut String, tags: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (name, value) in tags {
        if !out.is_empty() {
            out.push(',');
        }
        push_sanitized(out, name);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '"' => out.push_str("\\\""),
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// A histogram's counts below each bound, since the start.
fn write_histogram(text: &mut String, metric: &str, labels: &str, histogram: &HistogramView<'_>) {
    let comma = if labels.is_empty() { "" } else { "," };
    for (bound, count) in histogram
        .bounds()
        .iter()
        .zip(histogram.counts_below(Span::Cumulative))
    {
        text.push_str(&format!("{metric}_bucket{{{labels}{comma}le=\""));
        write_general(text, *bound, DIGITS);
        text.push_str(&format!("\"}} {count}\n"));
    }
    let count = histogram.count(Span::Cumulative);
    text.push_str(&format!(
        "{metric}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}\n"
    ));
    write_sum_and_count(text, metric, labels, histogram, Span::Cumulative);
}

/// A histogram's quantiles of the last interval.
fn write_summary(text: &mut String, metric: &str, labels: &str, histogram: &HistogramView<'_>) {
    let comma = if labels.is_empty() { "" } else { "," };
    for (quantile, value) in QUANTILES.iter().zip(histogram.quantiles(Span::Interval)) {
        text.push_str(&format!("{metric}{{{labels}{comma}quantile=\""));
        write_shortest(text, *quantile);
        text.push_str("\"} ");
        write_general(text, value, DIGITS);
        text.push('\n');
    }
    write_sum_and_count(text, metric, labels, histogram, Span::Interval);
}

fn write_sum_and_count(
    text: &mut String,
    metric: &str,
    labels: &str,
    histogram: &HistogramView<'_>,
    span: Span,
) {
    text.push_str(&format!("{metric}_sum{{{labels}}} "));
    write_general(text, histogram.sum(span), DIGITS);
    text.push_str(&format!(
        "\n{metric}_count{{{labels}}} {}\n",
        histogram.count(span)
    ));
}

/// Envoy prints bounds and sums with so many digits that the number's whole decimal expansion shows.
const DIGITS: usize = 32;
