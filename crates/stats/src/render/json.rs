//! `/stats?format=json`: one array of stats, whose last entry holds all histograms.

use std::fmt::{self, Write};

use super::{Count, HistogramBuckets, counts};
use crate::histogram::{HistogramView, QUANTILES, Span};
use crate::number::write_json;
use crate::read::{Kind, Query, Value};
use crate::store::Store;

impl Store {
    /// Writes what `/stats?format=json` answers.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_json(
        &self,
        query: &Query<'_>,
        buckets: HistogramBuckets,
        out: &mut dyn Write,
    ) -> fmt::Result {
        out.write_str("{\"stats\":[")?;
        let mut first = true;
        let mut entry = String::new();
        for kinds in [&[Kind::TextReadout][..], &[Kind::Counter, Kind::Gauge]] {
            self.visit(kinds, query, |stat| {
                entry.clear();
                entry.push_str(if std::mem::take(&mut first) { "" } else { "," });
                entry.push_str("{\"name\":");
                write_string(&mut entry, stat.name);
                entry.push_str(",\"value\":");
                match stat.value {
                    Value::Counter(value) | Value::Gauge(value) => {
                        entry.push_str(itoa::Buffer::new().format(value));
                    }
                    Value::Text(text) => write_string(&mut entry, text),
                    Value::Histogram(_) => {}
                }
                entry.push('}');
                out.write_str(&entry)
            })?;
        }
        for one in query.outside() {
            entry.clear();
            entry.push_str(if std::mem::take(&mut first) { "" } else { "," });
            entry.push_str("{\"name\":");
            write_string(&mut entry, &one.name);
            write!(out, "{entry},\"value\":{}}}", one.value)?;
        }
        let (opening, closing) = frame(buckets);
        let mut first_histogram = true;
        self.visit(&[Kind::Histogram], query, |stat| {
            let Value::Histogram(histogram) = stat.value else {
                return Ok(());
            };
            entry.clear();
            if std::mem::take(&mut first_histogram) {
                entry.push_str(if first { "" } else { "," });
                entry.push_str(&opening);
            } else {
                entry.push(',');
            }
            entry.push_str("{\"name\":");
            write_string(&mut entry, stat.name);
            write_histogram(&mut entry, &histogram, buckets);
            entry.push('}');
            out.write_str(&entry)
        })?;
        out.write_str(if first_histogram { "]}" } else { closing })
    }
}

/// What stands before the first and after the last histogram.
fn frame(buckets: HistogramBuckets) -> (String, &'static str) {
    let mut opening = String::from("{\"histograms\":");
    let (percentiles, list) = match buckets {
        HistogramBuckets::Summary => ("supported_quantiles", "computed_quantiles"),
        HistogramBuckets::Detailed => ("supported_percentiles", "details"),
        HistogramBuckets::Cumulative | HistogramBuckets::Disjoint => {
            opening.push('[');
            return (opening, "]}]}");
        }
    };
    opening.push_str(&format!("{{\"{percentiles}\":["));
    for (index, quantile) in QUANTILES.iter().enumerate() {
        opening.push_str(if index == 0 { "" } else { "," });
        write_json(&mut opening, quantile * 100.0);
    }
    opening.push_str(&format!("],\"{list}\":["));
    (opening, "]}}]}")
}

/// What follows a histogram's name.
fn write_histogram(out: &mut String, histogram: &HistogramView<'_>, buckets: HistogramBuckets) {
    match buckets {
        HistogramBuckets::Summary => {
            out.push_str(",\"values\":");
            write_quantiles(out, histogram);
        }
        HistogramBuckets::Cumulative | HistogramBuckets::Disjoint => {
            write_counts(out, counts(histogram, buckets));
        }
        HistogramBuckets::Detailed => {
            out.push_str(",\"totals\":");
            write_bins(out, histogram, Span::Cumulative);
            out.push_str(",\"intervals\":");
            write_bins(out, histogram, Span::Interval);
            out.push_str(",\"percentiles\":");
            write_quantiles(out, histogram);
        }
    }
}

fn write_quantiles(out: &mut String, histogram: &HistogramView<'_>) {
    let cumulative = histogram.quantiles(Span::Cumulative);
    for (index, (cumulative, interval)) in cumulative
        .iter()
        .zip(histogram.quantiles(Span::Interval))
        .enumerate()
    {
        out.push_str(if index == 0 { "[" } else { "," });
        out.push_str("{\"cumulative\":");
        write_json(out, *cumulative);
        out.push_str(",\"interval\":");
        write_json(out, interval);
        out.push('}');
    }
    out.push(']');
}

fn write_counts(out: &mut String, counts: impl Iterator<Item = Count>) {
    out.push_str(",\"buckets\":[");
    for (index, count) in counts.enumerate() {
        let Count {
            bound,
            interval,
            cumulative,
        } = count;
        out.push_str(if index == 0 { "" } else { "," });
        out.push_str("{\"upper_bound\":");
        write_json(out, bound);
        out.push_str(&format!(
            ",\"interval\":{interval},\"cumulative\":{cumulative}}}"
        ));
    }
    out.push(']');
}

fn write_bins(out: &mut String, histogram: &HistogramView<'_>, span: Span) {
    out.push('[');
    for (index, bucket) in histogram.buckets(span).enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        out.push_str("{\"lower_bound\":");
        write_json(out, bucket.lower_bound);
        out.push_str(",\"width\":");
        write_json(out, bucket.width);
        out.push_str(&format!(",\"count\":{}}}", bucket.count));
    }
    out.push(']');
}

/// A JSON string.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_control() && c.is_ascii() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}
