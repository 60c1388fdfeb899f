//! Writers: Envoy's `/stats` as text, as JSON, and for Prometheus.
//!
//! Each writes to any [`fmt::Write`](std::fmt::Write) as it goes, and stops at the first error that one answers.

mod json;
mod prometheus;
mod text;

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

/// Turns counts of values below rising bounds into counts between them.
fn disjoint(counts: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
    let mut before = 0;
    counts.map(move |count| count - std::mem::replace(&mut before, count))
}
