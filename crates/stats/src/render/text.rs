//! `/stats`: a line per stat.

use std::fmt::{self, Write};

use super::{Count, HistogramBuckets, counts};
use crate::histogram::{HistogramView, QUANTILES, Span};
use crate::number::{write_general, write_shortest};
use crate::read::{Kind, Query, Value};
use crate::store::Store;

impl Store {
    /// Writes what `/stats` answers: text readouts, then counters and gauges together, then histograms, each sorted
    /// by name.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_text(
        &self,
        query: &Query<'_>,
        buckets: HistogramBuckets,
        out: &mut dyn Write,
    ) -> fmt::Result {
        let mut line = String::new();
        for kinds in [
            &[Kind::TextReadout][..],
            &[Kind::Counter, Kind::Gauge],
            &[Kind::Histogram],
        ] {
            self.visit(kinds, query, |stat| {
                line.clear();
                line.push_str(stat.name);
                match stat.value {
                    Value::Counter(value) | Value::Gauge(value) => {
                        line.push_str(": ");
                        line.push_str(itoa::Buffer::new().format(value));
                    }
                    Value::Text(text) => {
                        line.push_str(": \"");
                        line.push_str(text);
                        line.push('"');
                    }
                    Value::Histogram(histogram) => write_histogram(&mut line, &histogram, buckets),
                }
                line.push('\n');
                out.write_str(&line)
            })?;
        }
        query
            .outside()
            .try_for_each(|one| writeln!(out, "{}: {}", one.name, one.value))
    }
}

/// What follows a histogram's name.
fn write_histogram(line: &mut String, histogram: &HistogramView<'_>, buckets: HistogramBuckets) {
    line.push(':');
    if !histogram.used() {
        line.push_str(" No recorded values");
        return;
    }
    match buckets {
        HistogramBuckets::Summary => {
            line.push(' ');
            write_quantiles(line, histogram);
        }
        HistogramBuckets::Cumulative | HistogramBuckets::Disjoint => {
            write_counts(line, counts(histogram, buckets));
        }
        HistogramBuckets::Detailed => {
            line.push_str("\n  totals=");
            write_bins(line, histogram, Span::Cumulative);
            line.push_str("\n  intervals=");
            write_bins(line, histogram, Span::Interval);
            line.push_str("\n  summary=");
            write_quantiles(line, histogram);
        }
    }
}

/// `P0(interval,cumulative) P25(…) …`
fn write_quantiles(line: &mut String, histogram: &HistogramView<'_>) {
    let (interval, cumulative) = (
        histogram.quantiles(Span::Interval),
        histogram.quantiles(Span::Cumulative),
    );
    for (index, quantile) in QUANTILES.iter().enumerate() {
        line.push_str(if index == 0 { "P" } else { " P" });
        write_general(line, quantile * 100.0, 6);
        line.push('(');
        write_shortest(line, interval[index]);
        line.push(',');
        write_shortest(line, cumulative[index]);
        line.push(')');
    }
}

/// ` B0.5(interval,cumulative) B1(…) …`
fn write_counts(line: &mut String, counts: impl Iterator<Item = Count>) {
    let mut digits = itoa::Buffer::new();
    for count in counts {
        line.push_str(" B");
        write_general(line, count.bound, 6);
        line.push('(');
        line.push_str(digits.format(count.interval));
        line.push(',');
        line.push_str(digits.format(count.cumulative));
        line.push(')');
    }
}

/// `lower bound,width:count, …`
fn write_bins(line: &mut String, histogram: &HistogramView<'_>, span: Span) {
    for (index, bucket) in histogram.buckets(span).enumerate() {
        if index > 0 {
            line.push_str(", ");
        }
        write_general(line, bucket.lower_bound, BIN_DIGITS);
        line.push(',');
        write_general(line, bucket.width, BIN_DIGITS);
        line.push(':');
        line.push_str(itoa::Buffer::new().format(bucket.count));
    }
}

/// Significant digits of a bin's bounds.
const BIN_DIGITS: usize = 15;
