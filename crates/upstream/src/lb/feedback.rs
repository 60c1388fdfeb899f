//! What a host's answers have told of it: load reports and latencies, over all workers, as atomics.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::host::{Host, milliseconds};
use crate::host_set::PrioritySet;
use crate::orca::{MetricSums, OrcaError, OrcaReport, OutOfBand};

/// What a policy wants to be told of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Load reports ([`Learner::on_report`]).
    pub reports: bool,
    /// Latencies ([`Learner::on_latency`]).
    pub latency: bool,
}

/// How a request has gone, as far as its latency means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The answer's headers have come.
    Yes,
    /// The host has failed, or has not answered in time.
    No,
}

/// The part of a policy that learns from what hosts answer.
pub trait Learner {
    /// What is to be told.
    fn wants(&self) -> Wanted;

    /// How reports are asked for out of band: a call to each host for each of these. They come to [`Self::on_report`], too.
    fn out_of_band(&self) -> Vec<OutOfBand> {
        Vec::new()
    }

    /// A host has reported its load: on a worker with an answer, on the main thread out of band.
    ///
    /// # Errors
    /// Nothing follows from the report.
    fn on_report(&self, host: &Host, report: &OrcaReport, now: Instant) -> Result<(), OrcaError> {
        let _ = (host, report, now);
        Ok(())
    }

    /// A try has taken this long, up to its answer's headers or its failure. On a worker.
    fn on_latency(&self, host: &Host, took: Duration, answered: Answered, now: Instant) {
        let _ = (host, took, answered, now);
    }

    /// How often the main thread calls [`Self::on_tick`]; `None` is never.
    fn period(&self) -> Option<Duration> {
        None
    }

    /// Draws conclusions from what was noted of these hosts. Returns whether weights of hosts have changed, so that lists
    /// must be made anew. On the main thread.
    fn on_tick(&self, hosts: &PrioritySet, now: Instant) -> bool {
        let _ = (hosts, now);
        false
    }

    /// Hosts have changed; as [`Self::on_tick`], between two of them.
    fn on_hosts(&self, hosts: &PrioritySet, now: Instant) -> bool {
        let _ = (hosts, now);
        false
    }
}

/// What is known of one host.
#[derive(Debug, Default)]
pub(crate) struct HostFeedback {
    pub(super) weight: ReportedWeight,
    pub(super) utilization: ReportedUtilization,
    pub(super) latency: Latency,
    /// Sums of what `lrs_report_endpoint_metrics` names.
    pub(crate) metrics: OnceLock<MetricSums>,
}

/// A moment as an atomic keeps it; 0 is "never".
fn stamp(now: Instant) -> u64 {
    milliseconds(now) + 1
}

/// The weight that follows from a host's reports (Envoy's `OrcaHostLbPolicyData`).
#[derive(Debug, Default)]
pub(super) struct ReportedWeight {
    weight: AtomicU32,
    /// Since when there are reports without too long a pause.
    since: AtomicU64,
    last: AtomicU64,
}

impl ReportedWeight {
    pub(super) fn set(&self, weight: u32, now: Instant) {
        let now = stamp(now);
        self.weight.store(weight, Relaxed);
        self.last.store(now, Relaxed);
        // Whoever comes first is the one.
        let _ = self.since.compare_exchange(0, now, Relaxed, Relaxed);
    }

    /// The weight, if reports have come for longer than `blackout` and the last one is not older than `expiration`.
    pub(super) fn get(
        &self,
        now: Instant,
        blackout: Duration,
        expiration: Duration,
    ) -> Option<u32> {
        let age = |moment: u64| Duration::from_millis(stamp(now).saturating_sub(moment));
        let since = self.since.load(Relaxed);
        if since == 0 || age(since) < blackout {
            return None;
        }
        if age(self.last.load(Relaxed)) > expiration {
            // The blackout begins anew with the next report.
            self.since.store(0, Relaxed);
            return None;
        }
        Some(self.weight.load(Relaxed))
    }
}

/// How busy a host has said it is.
#[derive(Debug, Default)]
pub(super) struct ReportedUtilization {
    /// The bits of an `f64`.
    value: AtomicU64,
    last: AtomicU64,
}

impl ReportedUtilization {
    pub(super) fn set(&self, utilization: f64, now: Instant) {
        self.value.store(utilization.to_bits(), Relaxed);
        self.last.store(stamp(now), Relaxed);
    }

    /// The last one, above 0; `None` when it is older than `expiration` (zero is for ever).
    pub(super) fn get(&self, now: Instant, expiration: Duration) -> Option<f64> {
        let last = self.last.load(Relaxed);
        let age = Duration::from_millis(stamp(now).saturating_sub(last));
        if last == 0 || (!expiration.is_zero() && age > expiration) {
            return None;
        }
        let utilization = f64::from_bits(self.value.load(Relaxed));
        (utilization > 0.0).then_some(utilization)
    }
}

/// A moving average of latencies that follows every peak at once: microseconds as an `f32`, and when that was, in
/// milliseconds modulo 2^32, in one atomic; 0 is "nothing known".
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// Takes in a latency; the older average has lost half of its say after `ln 2 * decay`.
    pub(super) fn note(&self, took: Duration, answered: Answered, decay: Duration, now: Instant) {
        let took = (took.as_micros() as f32).max(1.0);
        let at = milliseconds(now) as u32;
        let next = |old: u64| {
            let Some((average, left)) = unpack(old, at, decay) else {
                return Some(match answered {
                    Answered::Yes => pack(took, at),
                    Answered::No => pack(took.max(FIRST_FAILURE), at),
                });
            };
            let sample = match answered {
                Answered::Yes => took,
                // A host that fails quickly must not look quick.
                Answered::No => took.max((2.0 * average).min(MAX_AFTER_FAILURES)),
            };
            let average = match sample > average {
                true => sample,
                false => average * left + sample * (1.0 - left),
            };
            Some(pack(average, at))
        };
        // It cannot fail: the closure always gives a value.
        let _ = self.0.fetch_update(Relaxed, Relaxed, next);
    }

    /// The average in milliseconds as it has faded until now; `None` when nothing is known.
    #[inline]
    pub(super) fn get(&self, decay: Duration, at: u32) -> Option<f64> {
        let (average, left) = unpack(self.0.load(Relaxed), at, decay)?;
        Some(f64::from(average * left) / 1000.0)
    }
}

/// So many microseconds a host is held to take, at most, for having failed.
const MAX_AFTER_FAILURES: f32 = 60e6;

/// So many microseconds a host is held to take that has done nothing yet but failed.
const FIRST_FAILURE: f32 = 1e6;

fn pack(average: f32, at: u32) -> u64 {
    u64::from(average.to_bits()) << 32 | u64::from(at)
}

/// The average, and how much of it is left at `at`.
#[inline]
fn unpack(packed: u64, at: u32, decay: Duration) -> Option<(f32, f32)> {
    if packed == 0 {
        return None;
    }
    let average = f32::from_bits((packed >> 32) as u32);
    // Another worker may have noted something a moment later than this one has read its clock.
    let age = (at.wrapping_sub(packed as u32) as i32).max(0);
    Some((average, (-(age as f32) / decay.as_millis() as f32).exp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run_paused;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn weights_count_after_the_blackout_until_they_expire() {
        run_paused(async {
            let weight = ReportedWeight::default();
            let get = || weight.get(Instant::now(), 10 * SECOND, 60 * SECOND);
            assert_eq!(get(), None);
            weight.set(7, Instant::now());
            assert_eq!(get(), None);
            tokio::time::advance(10 * SECOND).await;
            assert_eq!(get(), Some(7));
            tokio::time::advance(51 * SECOND).await;
            assert_eq!(get(), None, "too old");
            weight.set(9, Instant::now());
            assert_eq!(get(), None, "the blackout begins anew");
            tokio::time::advance(11 * SECOND).await;
            assert_eq!(get(), Some(9));
        });
    }

    #[test]
    fn utilization_expires() {
        run_paused(async {
            let utilization = ReportedUtilization::default();
            let get = |expiration| utilization.get(Instant::now(), expiration);
            assert_eq!(get(SECOND), None);
            utilization.set(0.5, Instant::now());
            tokio::time::advance(2 * SECOND).await;
            assert_eq!(get(SECOND), None);
            assert_eq!(get(Duration::ZERO), Some(0.5));
            utilization.set(0.0, Instant::now());
            assert_eq!(get(SECOND), None);
        });
    }

    #[test]
    fn latency_follows_peaks_at_once_and_fades() {
        run_paused(async {
            let latency = Latency::default();
            let decay = 10 * SECOND;
            let note = |ms: u64, answered| {
                latency.note(Duration::from_millis(ms), answered, decay, Instant::now());
            };
            let get = || latency.get(decay, milliseconds(Instant::now()) as u32);
            assert_eq!(get(), None);
            note(100, Answered::Yes);
            note(300, Answered::Yes);
            assert_eq!(get(), Some(300.0));
            tokio::time::advance(decay).await;
            let faded = get().unwrap();
            assert!((faded - 300.0 / std::f64::consts::E).abs() < 0.1, "{faded}");
            note(100, Answered::Yes);
            let mixed = get().unwrap();
            let expected = 100.0 + 200.0 / std::f64::consts::E;
            assert!((mixed - expected).abs() < 0.1, "{mixed}");
            note(1, Answered::No);
            assert!(get().unwrap() > 1.9 * mixed, "failing quickly is not quick");
        });
    }
}
