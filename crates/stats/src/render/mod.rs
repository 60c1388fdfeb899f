//! Writers: Envoy's `/stats` as text, as JSON, and for Prometheus.
//!
//! Each writes to any [`fmt::Write`](std::fmt::Write) as it goes, and stops at the first error that one answers.

mod json;
mod prometheus;
mod text;

use crate::histogram::{HistogramView, Span};

/// What is shown of a histogram: the query parameter `histogram_buckets`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistogramBuckets {
    /// Quantiles (`summary`).
    #[default]
    Summary,
    /// How many values lie at or below each bound (`cumulative`).
    Cumulative,
    /// How many values lie between each bound and the one before it (`disjoint`).
    Disjoint,
    /// Every bin that has a count, and the quantiles (`detailed`).
    Detailed,
}

/// How many values a histogram has at or below a bound, or between it and the one before it.
struct Count {
    bound: f64,
    /// Of the last interval.
    interval: u64,
    /// Of all time.
    cumulative: u64,
}

/// The counts of a histogram by rising bounds: [`HistogramBuckets::Disjoint`], or cumulative.
fn counts(histogram: &HistogramView<'_>, buckets: HistogramBuckets) -> impl Iterator<Item = Count> {
    let interval = histogram.counts_below(Span::Interval);
    let cumulative = histogram.counts_below(Span::Cumulative);
    let mut before = (0, 0);
    let bounds = histogram.bounds().iter();
    bounds
        .zip(interval.zip(cumulative))
        .map(move |(&bound, below)| {
            let less = match buckets {
                HistogramBuckets::Disjoint => std::mem::replace(&mut before, below),
                _ => before,
            };
            Count {
                bound,
                interval: below.0 - less.0,
                cumulative: below.1 - less.1,
            }
        })
}
