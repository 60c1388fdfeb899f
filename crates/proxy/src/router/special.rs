//! What few requests need of the router; ordinary ones have none of it.

use std::rc::Rc;

use nuncio_buffer::Buffer;
use nuncio_http::{HeaderMap, Known, KnownSet};
use nuncio_route::Forward;
use nuncio_upstream::AltStats;

use super::hedge::Hedged;
use super::redirect::Redirects;
use super::shadow::Shadow;
use crate::stream::Stream;

/// Request headers that ask for something special.
const ASKING: KnownSet = KnownSet::of(&[
    Known::XEnvoyUpstreamRqTimeoutAltResponse,
    Known::XEnvoyHedgeOnPerTryTimeout,
    Known::XEnvoyUpstreamAltStatName,
]);

/// What is remembered of a request that is special.
#[derive(Default)]
pub(crate) struct Special {
    /// Redirects that were followed for it.
    pub(super) redirects: Redirects,
    /// Its body, if a redirect may be followed.
    pub(super) kept: Option<Kept>,
    /// Its copies on the way to other clusters.
    pub(super) shadows: Vec<Shadow>,
    /// A try that takes too long goes on beside the next one.
    pub(super) hedges: bool,
    /// Such tries.
    pub(super) hedged: Vec<Hedged>,
    /// A timeout is answered with 204 (`x-envoy-upstream-rq-timeout-alt-response`).
    pub(super) alt_response: bool,
    /// Answers count under another name, too (`x-envoy-upstream-alt-stat-name`).
    pub(super) alt_stats: Option<Rc<AltStats>>,
}

impl Special {
    /// Whether this is the second request, or a later one, that the stream makes of the client's.
    pub(crate) fn is_redirected(&self) -> bool {
        self.redirects.followed > 0
    }
}

/// The body of a request, for the one that a redirect makes of it.
pub(super) struct Kept {
    pub(super) body: Buffer,
    /// There was more of it than may be kept.
    pub(super) overflowed: bool,
    limit: usize,
}

impl Kept {
    fn new(limit: usize) -> Kept {
        Kept {
            body: Buffer::new(),
            overflowed: false,
            limit,
        }
    }

    /// Keeps a piece. Returns whether this was too much, for the first time.
    fn keep(&mut self, data: &Buffer) -> bool {
        if self.overflowed {
            return false;
        }
        self.overflowed = self.body.len() + data.len() > self.limit;
        match self.overflowed {
            true => self.body = Buffer::new(),
            false => self.body.append_slice(data),
        }
        self.overflowed
    }
}

impl Stream {
    /// Finds out what is special about a request on this route.
    pub(super) fn note_special(&mut self, forward: &Forward) {
        if forward.special.is_none()
            && self.router.special.is_none()
            && !self.request.headers.contains_any(ASKING)
        {
            return;
        }
        let headers = &self.request.headers;
        let of_route = forward.special.as_deref();
        let special = self.router.special.get_or_insert_default();
        special.alt_response = headers.contains(Known::XEnvoyUpstreamRqTimeoutAltResponse);
        special.hedges = hedges(headers)
            .unwrap_or_else(|| of_route.is_some_and(|special| special.hedge_on_per_try_timeout));
        let name = headers.get(Known::XEnvoyUpstreamAltStatName);
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let cluster = self.router.cluster.as_ref();
        special.alt_stats = name.and_then(|name| cluster?.alt_stats(name));
        special.kept = of_route
            .is_some_and(|special| special.internal_redirect.is_some())
            .then(|| Kept::new(self.request_limit as usize));
    }

    /// A piece of the body goes to whoever wants a copy.
    pub(super) fn copy_data(&mut self, data: &Buffer, end: bool) {
        let Some(special) = &mut self.router.special else {
            return;
        };
        let mut abandoned = special.kept.as_mut().is_some_and(|kept| kept.keep(data));
        special.shadows.retain_mut(|shadow| {
            let goes_on = shadow.send_data(data, end);
            abandoned |= !goes_on;
            goes_on && !end
        });
        if abandoned && let Some(cluster) = &self.router.cluster {
            cluster.on_retry_abandoned();
        }
    }

    /// Where its answers count under a name that the request gave.
    pub(super) fn alt_stats(&self) -> Option<&AltStats> {
        self.router.special.as_ref()?.alt_stats.as_deref()
    }

    /// The status of an answer to a request that has taken too long.
    pub(super) fn timeout_status(&self) -> u16 {
        match &self.router.special {
            Some(special) if special.alt_response => 204,
            _ => 504,
        }
    }

    /// Its body.
    pub(super) fn timeout_text(&self) -> &'static str {
        match self.timeout_status() {
            504 => "upstream request timeout",
            _ => "",
        }
    }
}

/// What the request says about hedging.
fn hedges(headers: &HeaderMap) -> Option<bool> {
    match headers.get(Known::XEnvoyHedgeOnPerTryTimeout)? {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}
