//! How long one try may take (`RetryPolicy.per_try_timeout` and `per_try_idle_timeout`), whether or not another may follow.

use std::time::Duration;

use nuncio_http::{HeaderMap, Known};
use nuncio_route::Forward;
use nuncio_sdk::{LocalReply, ResponseFlags};
use nuncio_upstream::ClosedBy;
use nuncio_upstream::lb::Answered;
use nuncio_upstream::outlier::Outcome;
use tokio::time::Instant;

use super::judge::count_error;
use super::retry::Failure;
use super::{Upstream, number};
use crate::stream::Stream;

/// The time of the present try.
pub(super) struct TryTime {
    whole: Option<Duration>,
    idle: Option<Duration>,
    whole_ends: Option<Instant>,
    idle_ends: Option<Instant>,
}

impl TryTime {
    /// For a request that may take `timeout` in all; `None` when a try may take as long as that.
    pub(super) fn of(
        forward: &Forward,
        headers: &HeaderMap,
        timeout: Option<Duration>,
    ) -> Option<Box<TryTime>> {
        let policy = forward.retry.as_ref();
        let asked = headers
            .get(Known::XEnvoyUpstreamRqPerTryTimeoutMs)
            .and_then(number)
            .map(Duration::from_millis);
        // One that is not shorter than the timeout of the whole is none.
        let whole = asked
            .or(policy.and_then(|policy| policy.per_try_timeout))
            .filter(|it| !it.is_zero() && timeout.is_none_or(|timeout| *it < timeout));
        let idle = policy.and_then(|policy| policy.per_try_idle_timeout);
        (whole.is_some() || idle.is_some()).then(|| {
            Box::new(TryTime {
                whole,
                idle,
                whole_ends: None,
                idle_ends: None,
            })
        })
    }

    /// What the upstream is told.
    pub(super) fn whole(&self) -> Option<Duration> {
        self.whole
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.whole_ends.into_iter().chain(self.idle_ends).min()
    }

    /// The request is there, whole: from now on the try takes its time, and may fall silent only for so long.
    pub(super) fn arm(&mut self, now: Instant) {
        self.whole_ends = self.whole.and_then(|timeout| now.checked_add(timeout));
        self.idle_ends = self.idle.and_then(|timeout| now.checked_add(timeout));
    }

    /// A part of the answer has come.
    pub(super) fn touch(&mut self, now: Instant) {
        if self.idle_ends.is_some() {
            self.idle_ends = self.idle.and_then(|timeout| now.checked_add(timeout));
        }
    }

    /// What is over by now, which is told once: the time without anything, the time in all.
    fn fire(&mut self, now: Instant) -> (bool, bool) {
        let is_over = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        (is_over(&mut self.idle_ends), is_over(&mut self.whole_ends))
    }

    /// The try is over.
    pub(super) fn disarm(&mut self) {
        self.whole_ends = None;
        self.idle_ends = None;
    }
}

impl Stream {
    /// The present try may have taken too long.
    pub(super) fn on_try_deadline(&mut self, now: Instant) {
        let Some(time) = &mut self.router.try_time else {
            return;
        };
        let (idle, whole) = time.fire(now);
        let Upstream::Active(exchange) = &self.router.upstream else {
            return;
        };
        let started = exchange.has_started();
        // An answer that has begun has until the end of the whole request.
        if idle || whole && !started {
            self.on_try_timeout(idle, started);
        }
    }

    fn on_try_timeout(&mut self, idle: bool, started: bool) {
        if self.hedges() {
            return self.on_soft_timeout(started);
        }
        if let (Some(cluster), Some(host)) = (&self.router.cluster, &self.router.host) {
            match idle {
                true => cluster.on_per_try_idle_timeout(Some(host)),
                false => cluster.on_per_try_timeout(Some(host)),
            }
        }
        if let Some((host, cluster)) = self.router.host_and_cluster() {
            cluster.put_outlier_outcome(host, Outcome::Timeout, None);
        }
        self.abandon_try();
        if !started {
            self.tell_latency(Answered::No, self.now);
            let failed = self.failing_host();
            if self.retry_after(Failure::Timeout) {
                count_error(failed);
                return self.note_timeout_retry();
            }
            self.charge_abort(self.timeout_status(), self.router.host_and_cluster());
        } else {
            self.note_cut_off();
        }
        let details = match idle {
            true => "upstream_per_try_idle_timeout",
            false => "upstream_per_try_timeout",
        };
        self.router_reply(
            LocalReply::new(self.timeout_status(), self.timeout_text(), details)
                .flags(ResponseFlags::UPSTREAM_REQUEST_TIMEOUT),
        );
    }

    /// Ends the exchange from this side.
    pub(super) fn abandon_try(&mut self) {
        match std::mem::replace(&mut self.router.upstream, Upstream::Done) {
            Upstream::Active(exchange) => {
                self.note_wire(&exchange);
                exchange.abandon(ClosedBy::Local);
            }
            other => drop(other),
        }
    }

    /// The next try says that this one has taken too long.
    pub(super) fn note_timeout_retry(&mut self) {
        if let Some(retry) = &mut self.router.retry {
            retry.after_timeout = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_upstream::Random;

    /// Tries of random length with answers that come bit by bit: the timers fire exactly when a model, which looks at every
    /// millisecond, says so. `NUNCIO_SEED` chooses one run, which a failure names.
    #[test]
    fn a_try_ends_when_its_time_is_over() {
        let wanted = std::env::var("NUNCIO_SEED").ok();
        let wanted = wanted.map(|text| text.parse().expect("NUNCIO_SEED is a number"));
        let seeds: std::ops::RangeInclusive<u64> = wanted.map_or(1..=2000, |seed| seed..=seed);
        for seed in seeds {
            let random = Random::seeded(Random::seeded(seed).next());
            let below = |limit: u64| random.next() % limit;
            let some = |limit| (below(3) != 0).then(|| 1 + below(limit));
            let (whole, idle) = (some(60), some(30));
            let mut time = TryTime {
                whole: whole.map(Duration::from_millis),
                idle: idle.map(Duration::from_millis),
                whole_ends: None,
                idle_ends: None,
            };
            let begun = Instant::now();
            let at = |ms: u64| begun + Duration::from_millis(ms);
            for _ in 0..3 {
                // The connection is there at 0, the whole request at `sent`, and something comes at each of `alive`.
                let sent = below(20);
                let alive: Vec<u64> = (0..below(6)).map(|_| below(80)).collect();
                time.disarm();
                let mut last = sent;
                for now in 0..100 {
                    if now == sent {
                        time.arm(at(now));
                    }
                    let whole_is_over =
                        now >= sent && whole.is_some_and(|whole| now >= sent + whole);
                    let idle_is_over = now >= sent && idle.is_some_and(|idle| now >= last + idle);
                    let what =
                        format!("seed {seed}, {now} ms: {whole:?} {idle:?}, {sent}, {alive:?}");
                    let fires = time.deadline().is_some_and(|deadline| deadline <= at(now));
                    assert_eq!(fires, whole_is_over || idle_is_over, "{what}");
                    if fires {
                        assert_eq!(time.fire(at(now)), (idle_is_over, whole_is_over), "{what}");
                        break;
                    }
                    if alive.contains(&now) {
                        time.touch(at(now));
                        last = last.max(now);
                    }
                }
            }
            time.disarm();
            assert_eq!(time.deadline(), None, "seed {seed}");
        }
    }
}
