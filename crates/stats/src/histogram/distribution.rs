//! A histogram at rest: counts per bin, and what libcircllhist computes from them.

use std::ops::Range;

use super::bins::{self, Bin};

/// Counts per bin in rising order; bins without a count are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    bins: Vec<(Bin, u64)>,
}

/// A bin that has a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Smallest value that falls in it.
    pub lower_bound: f64,
    /// From there to the next bin.
    pub width: f64,
    /// How many values did.
    pub count: u64,
}

impl Distribution {
    /// Whether nothing was recorded.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// How many values were recorded.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.bins.iter().map(|bin| bin.1).sum()
    }

    /// The sum of the values, each taken as the middle of its bin (`hist_approx_sum`).
    #[must_use]
    pub(crate) fn sum(&self) -> f64 {
        self.bins
            .iter()
            .fold(0.0, |sum, &(bin, count)| sum + midpoint(bin) * count as f64)
    }

    /// How many values lie in bins that begin at or below `threshold`.
    #[must_use]
    pub(crate) fn count_below(&self, threshold: f64) -> u64 {
        let below = self
            .bins
            .iter()
            .take_while(|bin| bins::lower_bound(bin.0) <= threshold);
        below.map(|bin| bin.1).sum()
    }

    /// The quantiles `wanted` (rising, 0 to 1); NaN where nothing was recorded. The k-th of a bin's n values is
    /// taken to lie at k/(n+1) of the bin's width.
    #[must_use]
    pub(crate) fn quantiles<const N: usize>(&self, wanted: &[f64; N]) -> [f64; N] {
        let total = self.count() as f64;
        let mut bins = self.bins.iter();
        let Some(&(mut bin, mut count)) = bins.next() else {
            return [f64::NAN; N];
        };
        let mut before = 0;
        wanted.map(|quantile| {
            let rank = ((total * quantile).ceil() as u64).max(1);
            while before + count < rank {
                let Some(next) = bins.next() else { break };
                before += count;
                (bin, count) = *next;
            }
            let place = (rank - before) as f64 / (count + 1) as f64;
            bins::lower_bound(bin) + place * bins::width(bin)
        })
    }

    /// The bins that have a count.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.bins.iter().map(|&(bin, count)| Bucket {
            lower_bound: bins::lower_bound(bin),
            width: bins::width(bin),
            count,
        })
    }

    /// Adds `count` values to a bin.
    pub(crate) fn add(&mut self, bin: Bin, count: u64) {
        match self.bins.binary_search_by_key(&bin, |entry| entry.0) {
            Ok(at) => self.bins[at].1 = self.bins[at].1.saturating_add(count),
            Err(at) => self.bins.insert(at, (bin, count)),
        }
    }

    /// Adds the values of another histogram.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for &(bin, count) in &other.bins {
            self.add(bin, count);
        }
    }

    /// What came on top of `earlier`, an earlier state of the same histogram.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut old = earlier.bins.iter().peekable();
        let mut bins = Vec::new();
        for &(bin, count) in &self.bins {
            while old.next_if(|entry| entry.0 < bin).is_some() {}
            let known = old
                .next_if(|entry| entry.0 == bin)
                .map_or(0, |entry| entry.1);
            if count > known {
                bins.push((bin, count - known));
            }
        }
        Self { bins }
    }
}

/// The value that stands for a bin in a sum (`hist_bucket_midpoint`): where the values of a bin would lie if they
/// were as dense as 1/x².
fn midpoint(bin: Bin) -> f64 {
    let Range {
        start: bottom,
        end: top,
    } = bounds(bin);
    if bottom == 0.0 {
        return 0.0;
    }
    bottom + bins::width(bin) * (bottom / (bottom + top))
}

fn bounds(bin: Bin) -> Range<f64> {
    let bottom = bins::lower_bound(bin);
    bottom..bottom + bins::width(bin)
}

#[cfg(test)]
mod tests {
    use super::super::QUANTILES;
    use super::*;

    fn of(values: &[(u64, u64)]) -> Distribution {
        let mut distribution = Distribution::default();
        for &(value, count) in values {
            let (page, place) = bins::locate(value);
            distribution.add((page * bins::PAGE_BINS + place) as Bin, count);
        }
        distribution
    }

    /// `http.ingress.downstream_rq_time` of a run of Envoy 1.40.
    fn recorded() -> Distribution {
        of(&[
            (0, 57),
            (1, 1),
            (37, 19),
            (38, 8),
            (39, 11),
            (40, 20),
            (41, 5),
        ])
    }

    #[test]
    fn quantiles_are_envoys() {
        let seen = recorded().quantiles(&QUANTILES);
        let high = 41.833333333333336;
        let expected = [
            0.0,
            0.0,
            37.15,
            39.5,
            40.61904761904762,
            40.904761904761905,
            41.666666666666664,
            high,
            high,
            high,
        ];
        assert_eq!(seen, expected);
        assert_eq!(
            of(&[(9, 120)]).quantiles(&QUANTILES)[..3],
            [9.000826446280993, 9.024793388429751, 9.049586776859504]
        );
        assert!(
            Distribution::default()
                .quantiles(&QUANTILES)
                .iter()
                .all(|q| q.is_nan())
        );
    }

    #[test]
    fn sum_and_counts_are_envoys() {
        assert_eq!(
            format!("{:.28}", recorded().sum()),
            "2473.1458068037882185308262705803"
        );
        assert_eq!(of(&[(9, 120)]).sum(), 1085.9668508287293);
        assert_eq!(recorded().count(), 121);
        assert_eq!(recorded().count_below(0.5), 57);
        assert_eq!(recorded().count_below(1.0), 58);
        assert_eq!(recorded().count_below(50.0), 121);
        assert_eq!(of(&[(250, 1)]).count_below(250.0), 1);
    }

    #[test]
    fn an_interval_is_what_came_since() {
        let old = of(&[(1, 2), (40, 3)]);
        let new = of(&[(0, 1), (1, 2), (40, 5), (900, 1)]);
        assert_eq!(new.since(&old), of(&[(0, 1), (40, 2), (900, 1)]));
        assert!(new.since(&new).is_empty());
    }
}
