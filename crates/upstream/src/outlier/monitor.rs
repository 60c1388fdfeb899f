//! [`HostMonitor`]: what outlier detection knows of one host.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nuncio_event::Instant;

use super::{Ejection, RateOf, Settings};

/// How an attempt ended, as far as it is no HTTP status (Envoy's `Outlier::Result`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A connection was made; what it is used for is reported on its own.
    ConnectSuccess,
    /// No connection, or it ended before the answer.
    ConnectFailed,
    /// No answer in time.
    Timeout,
}

/// Shared by all threads; made when the host's first result is reported.
#[derive(Debug)]
pub struct HostMonitor {
    in_a_row_5xx: AtomicU32,
    in_a_row_gateway: AtomicU32,
    in_a_row_local: AtomicU32,
    rates: [Rate; 2],
    /// Used by the main thread only.
    ejections: Mutex<Ejections>,
}

/// Results of the present interval, and the rate of the one before.
#[derive(Debug)]
struct Rate {
    total: AtomicU64,
    success: AtomicU64,
    /// Percent as bits of a `f64`; -1 while unknown.
    shown: AtomicU64,
}

/// The history of ejections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ejections {
    /// How often the host was ejected.
    pub(super) count: u32,
    /// Times the base ejection time; grows with each ejection, falls with each quiet interval.
    pub(super) backoff: u32,
    pub(super) jitter: Duration,
    pub(super) ejected_at: Option<Instant>,
    pub(super) unejected_at: Option<Instant>,
    /// Since when the host counts as degraded.
    pub(super) degraded_at: Option<Instant>,
}

impl Default for HostMonitor {
    fn default() -> Self {
        Self {
            in_a_row_5xx: AtomicU32::new(0),
            in_a_row_gateway: AtomicU32::new(0),
            in_a_row_local: AtomicU32::new(0),
            rates: [Rate::new(), Rate::new()],
            ejections: Mutex::default(),
        }
    }
}

/// How many failures in a row make a host an outlier: of the settings, what workers need.
#[derive(Debug)]
pub(super) struct Limits {
    all: AtomicU32,
    gateway: AtomicU32,
    local: AtomicU32,
}

impl Limits {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            all: AtomicU32::new(settings.consecutive_5xx),
            gateway: AtomicU32::new(settings.consecutive_gateway_failure),
            local: AtomicU32::new(settings.consecutive_local_origin_failure),
        }
    }

    pub(super) fn set(&self, settings: &Settings) {
        self.all.store(settings.consecutive_5xx, Relaxed);
        let (gateway, local) = (
            settings.consecutive_gateway_failure,
            settings.consecutive_local_origin_failure,
        );
        self.gateway.store(gateway, Relaxed);
        self.local.store(local, Relaxed);
    }
}

impl HostMonitor {
    /// An HTTP status, the upstream's or what stands for a failure. What it makes of the host, in Envoy's order.
    pub(super) fn on_code(&self, code: u16, limits: &Limits) -> [Option<Ejection>; 2] {
        let rate = &self.rates[RateOf::ExternalOrigin.index()];
        rate.total.fetch_add(1, Relaxed);
        if code < 500 {
            rate.success.fetch_add(1, Relaxed);
            store_zero(&self.in_a_row_5xx);
            store_zero(&self.in_a_row_gateway);
            return [None, None];
        }
        let mut found = [None, None];
        if matches!(code, 502..=504) {
            if is_reached(&self.in_a_row_gateway, limits.gateway.load(Relaxed)) {
                found[0] = Some(Ejection::ConsecutiveGatewayFailure);
            }
        } else {
            store_zero(&self.in_a_row_gateway);
        }
        if is_reached(&self.in_a_row_5xx, limits.all.load(Relaxed)) {
            found[1] = Some(Ejection::Consecutive5xx);
        }
        found
    }

    /// A result of connecting or waiting, counted on its own (`split_external_local_origin_errors`).
    pub(super) fn on_local_origin(&self, success: bool, limits: &Limits) -> Option<Ejection> {
        let rate = &self.rates[RateOf::LocalOrigin.index()];
        rate.total.fetch_add(1, Relaxed);
        if success {
            rate.success.fetch_add(1, Relaxed);
            store_zero(&self.in_a_row_local);
            return None;
        }
        is_reached(&self.in_a_row_local, limits.local.load(Relaxed))
            .then_some(Ejection::ConsecutiveLocalOriginFailure)
    }

    /// Lets a run of errors begin anew, so that it is detected again if it goes on.
    pub(super) fn restart(&self, ejection: Ejection) {
        match ejection {
            Ejection::Consecutive5xx => store_zero(&self.in_a_row_5xx),
            Ejection::ConsecutiveGatewayFailure => store_zero(&self.in_a_row_gateway),
            Ejection::ConsecutiveLocalOriginFailure => store_zero(&self.in_a_row_local),
            _ => {}
        }
    }

    /// Lets all runs begin anew.
    pub(super) fn restart_all(&self) {
        for count in [
            &self.in_a_row_5xx,
            &self.in_a_row_gateway,
            &self.in_a_row_local,
        ] {
            store_zero(count);
        }
    }

    /// Ends the interval: how many results it had, and how many of them were good.
    pub(super) fn take_interval(&self, of: RateOf) -> (u64, u64) {
        let rate = &self.rates[of.index()];
        // The success first: it must not be more than the total.
        let success = rate.success.swap(0, Relaxed);
        let total = rate.total.swap(0, Relaxed);
        (total, success.min(total))
    }

    pub(super) fn show_rate(&self, of: RateOf, percent: f64) {
        self.rates[of.index()]
            .shown
            .store(percent.to_bits(), Relaxed);
    }

    /// The success rate of the last interval in percent; -1 when there were too few requests.
    pub fn success_rate(&self, of: RateOf) -> f64 {
        f64::from_bits(self.rates[of.index()].shown.load(Relaxed))
    }

    pub(super) fn ejections(&self) -> MutexGuard<'_, Ejections> {
        // Plain numbers: nothing is half changed after a panic.
        self.ejections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rate {
    fn new() -> Self {
        Self {
            total: AtomicU64::new(0),
            success: AtomicU64::new(0),
            shown: AtomicU64::new((-1.0_f64).to_bits()),
        }
    }
}

/// Counts one more; whether this one makes the threshold full. Only one thread can see that.
fn is_reached(count: &AtomicU32, threshold: u32) -> bool {
    count.fetch_add(1, Relaxed).wrapping_add(1) == threshold
}

/// A store only when there is something to change: successes leave the cache line shared.
fn store_zero(count: &AtomicU32) {
    if count.load(Relaxed) != 0 {
        count.store(0, Relaxed);
    }
}
