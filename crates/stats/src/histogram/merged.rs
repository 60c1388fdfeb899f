//! What readers see of a histogram: the state of the last merge.
//!
//! Threads only ever add to their pages. Each flush interval the main thread sums them; what was there before is
//! subtracted to get the interval. Readers between two merges see the last one, as in Envoy.

use super::distribution::{Bucket, Distribution};
use crate::schema::Unit;

/// The quantiles that Envoy shows (`HistogramStatisticsImpl::supportedQuantiles`).
pub const QUANTILES: [f64; 10] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0];

/// A histogram as of the last merge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged {
    /// Everything since the start.
    pub(crate) cumulative: Distribution,
    /// What came in the last flush interval.
    pub(crate) interval: Distribution,
}

impl Merged {
    /// Takes `now`, the sum over all threads, as the new state.
    pub(crate) fn merge(&mut self, now: Distribution) {
        self.interval = now.since(&self.cumulative);
        self.cumulative = now;
    }

    /// Adds another histogram of the same name.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (own, others) in [
            (&mut self.cumulative, &other.cumulative),
            (&mut self.interval, &other.interval),
        ] {
            own.absorb(others);
        }
    }
}

/// A histogram as a reader sees it, in its unit.
#[derive(Clone, Copy, Debug)]
pub struct HistogramView<'a> {
    pub(crate) merged: &'a Merged,
    pub(crate) unit: Unit,
    pub(crate) bounds: &'a [f64],
}

/// One of the two states a histogram has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Everything since the start.
    Cumulative,
    /// What came in the last flush interval.
    Interval,
}

impl HistogramView<'_> {
    /// Whether anything was recorded before the last merge.
    #[must_use]
    pub fn used(&self) -> bool {
        !self.merged.cumulative.is_empty()
    }

    /// The unit recorded in.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The upper bounds of the buckets to show.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        self.bounds
    }

    /// The values at [`QUANTILES`].
    #[must_use]
    pub fn quantiles(&self, span: Span) -> [f64; QUANTILES.len()] {
        self.distribution(span)
            .quantiles(&QUANTILES)
            .map(|value| value / self.scale())
    }

    /// How many values lie at or below each of [`HistogramView::bounds`].
    pub fn counts_below(&self, span: Span) -> impl Iterator<Item = u64> {
        let distribution = self.distribution(span);
        self.bounds
            .iter()
            .map(move |bound| distribution.count_below(bound * self.scale()))
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self, span: Span) -> u64 {
        self.distribution(span).count()
    }

    /// The approximate sum of the values.
    #[must_use]
    pub fn sum(&self, span: Span) -> f64 {
        self.distribution(span).sum() / self.scale()
    }

    /// The bins that have a count.
    pub fn buckets(&self, span: Span) -> impl Iterator<Item = Bucket> {
        // Envoy multiplies here and divides elsewhere; the last digit shows it.
        let factor = 1.0 / self.scale();
        self.distribution(span).buckets().map(move |bucket| Bucket {
            lower_bound: bucket.lower_bound * factor,
            width: bucket.width * factor,
            count: bucket.count,
        })
    }

    fn distribution(&self, span: Span) -> &Distribution {
        match span {
            Span::Cumulative => &self.merged.cumulative,
            Span::Interval => &self.merged.interval,
        }
    }

    fn scale(&self) -> f64 {
        match self.unit {
            Unit::Percent => Unit::PERCENT_SCALE as f64,
            _ => 1.0,
        }
    }
}
