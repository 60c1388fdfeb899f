//! Redirects of an upstream that the proxy follows itself (Envoy's `Filter::setupRedirect`).

use nuncio_http::{HeaderMap, Known};
use nuncio_route::{InternalRedirect, RedirectPredicate, RouteEntry};
use nuncio_sdk::RouteView as _;
use nuncio_stats::CounterSlot;
use nuncio_upstream::ClosedBy;
use tokio::time::Instant;

use super::Upstream;
use super::outcome::note_answer;
use crate::hcm::stats::HttpStats;
use crate::stream::Stream;

/// The redirects that were followed for one request of a client.
#[derive(Default)]
pub(super) struct Redirects {
    pub(super) followed: u32,
    /// From which route to which one, by name, where `previous_routes` is asked.
    taken: Vec<(Box<str>, Box<str>)>,
}

impl Redirects {
    /// Whether the predicate accepts a redirect from the route `from` to `to`.
    fn accepts(
        &mut self,
        predicate: &RedirectPredicate,
        from: &str,
        to: &str,
        secured: bool,
    ) -> bool {
        match predicate {
            RedirectPredicate::AllowListedRoutes(names) => names.iter().any(|name| **name == *to),
            RedirectPredicate::SafeCrossScheme => !secured,
            RedirectPredicate::PreviousRoutes => {
                let taken = self.taken.iter();
                let known = taken.into_iter().any(|(a, b)| (&**a, &**b) == (from, to));
                if !known {
                    self.taken.push((from.into(), to.into()));
                }
                !known
            }
        }
    }
}

/// The parts of an absolute URL.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    scheme: &'a [u8],
    host: &'a [u8],
    /// With its query, without its fragment.
    path: &'a [u8],
}

/// Reads a `location`; `None` when it is not absolute.
fn parse(location: &[u8]) -> Option<Target<'_>> {
    let text = std::str::from_utf8(location).ok()?;
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !is_scheme || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let path = match path {
        "" => "/",
        path => path.split_once('#').map_or(path, |(path, _)| path),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
    let is_host = !host.is_empty() && !host.starts_with(':') && host.bytes().all(allowed);
    is_host.then_some(Target {
        scheme: scheme.as_bytes(),
        host: host.as_bytes(),
        path: path.as_bytes(),
    })
}

impl Stream {
    /// An answer has come that the client would get. Returns whether it is a redirect that is followed.
    pub(super) fn follow_redirect(&mut self, end: bool, now: Instant) -> bool {
        let Some(route) = self.router.route.clone() else {
            return false;
        };
        let policy = route.forward().and_then(|forward| forward.special.as_ref());
        let Some(policy) = policy.and_then(|special| special.internal_redirect.as_ref()) else {
            return false;
        };
        let status = self.response.headers.status().unwrap_or(0);
        if !policy.statuses.contains(&status) {
            return false;
        }
        let redirected = self.redirect(&route, policy, status);
        let Some(cluster) = &self.router.cluster else {
            return false;
        };
        cluster.on_internal_redirect(redirected);
        if !redirected {
            return false;
        }
        if let Some((host, cluster)) = self.router.host_and_cluster() {
            note_answer(cluster, host, &self.response.headers, self.is_grpc);
        }
        if let Upstream::Active(exchange) =
            std::mem::replace(&mut self.router.upstream, Upstream::Done)
        {
            self.note_wire(&exchange);
            match end {
                true => exchange.finish(now),
                false => exchange.abandon(ClosedBy::Local),
            }
        }
        self.info.response_code = Some(status);
        self.info.response_code_details = Some("internal_redirect".into());
        self.recreate(now);
        true
    }

    /// Makes the request one to where the answer points, if that may be; otherwise it stays as it is.
    fn redirect(&mut self, route: &RouteEntry, policy: &InternalRedirect, status: u16) -> bool {
        let overflowed = match &self.router.special {
            Some(special) => special.kept.as_ref().is_none_or(|kept| kept.overflowed),
            None => true,
        };
        if !self.router.end || overflowed {
            return false;
        }
        let Some(location) = self.response.headers.get(Known::Location) else {
            return false;
        };
        let location = location.to_vec();
        let hcm = self.hcm.clone();
        let refused = |stat| {
            hcm.stats.inc(stat);
            false
        };
        let Some(target) = parse(&location) else {
            return refused(HttpStats::PASSTHROUGH_INTERNAL_REDIRECT_BAD_LOCATION);
        };
        let from_http =
            !self.info.connection.tls || self.request.headers.get(Known::Scheme) == Some(b"http");
        let to_http = target.scheme.eq_ignore_ascii_case(b"http");
        if !policy.cross_scheme && from_http != to_http {
            return refused(HttpStats::PASSTHROUGH_INTERNAL_REDIRECT_UNSAFE_SCHEME);
        }
        let special = self.router.special.get_or_insert_default();
        if special.redirects.followed >= policy.max {
            return refused(HttpStats::PASSTHROUGH_INTERNAL_REDIRECT_TOO_MANY_REDIRECTS);
        }
        let before = self.request.headers.clone();
        let headers = &mut self.request.headers;
        policy.copy_headers(&self.response.headers, headers);
        headers.set(Known::Scheme, target.scheme);
        headers.set(Known::Authority, target.host);
        headers.set(Known::Path, target.path);
        let Err(stat) = self.find_redirect_route(route, policy, from_http && !to_http) else {
            self.note_original_url(&before, from_http);
            if status == 303 {
                self.make_get();
            }
            return true;
        };
        // As in Envoy, the log shows the route that was found all the same.
        self.request.headers = before;
        refused(stat)
    }

    /// Finds the route of the changed request, and asks the predicates. The router goes on with `from` if one of them says no.
    fn find_redirect_route(
        &mut self,
        from: &RouteEntry,
        policy: &InternalRedirect,
        secured: bool,
    ) -> Result<(), CounterSlot> {
        let own = self.router.route.take();
        self.clear_route();
        self.info.cluster_name = None;
        self.info.cluster_alt_name = None;
        self.info.cluster_metadata = None;
        self.find_route();
        let found = std::mem::replace(&mut self.router.route, own);
        let Some(to) = found else {
            return Err(HttpStats::PASSTHROUGH_INTERNAL_REDIRECT_NO_ROUTE);
        };
        let special = self.router.special.get_or_insert_default();
        let redirects = &mut special.redirects;
        for predicate in &policy.predicates {
            if !redirects.accepts(predicate, from.route_name(), to.route_name(), secured) {
                return Err(HttpStats::PASSTHROUGH_INTERNAL_REDIRECT_PREDICATE);
            }
        }
        redirects.followed += 1;
        Ok(())
    }

    /// The next upstream is told what the client has asked for.
    fn note_original_url(&mut self, before: &HeaderMap, http: bool) {
        let mut url: Vec<u8> = match http {
            true => b"http://".into(),
            false => b"https://".into(),
        };
        url.extend_from_slice(before.authority().unwrap_or_default());
        url.extend_from_slice(before.path().unwrap_or_default());
        self.request.headers.set("x-envoy-original-url", &url);
    }

    /// 303 asks for a GET (RFC 9110, section 15.4.4).
    fn make_get(&mut self) {
        let headers = &mut self.request.headers;
        if matches!(headers.method(), Some(b"GET" | b"HEAD")) {
            return;
        }
        headers.set(Known::Method, b"GET");
        headers.remove(Known::ContentLength);
        if let Some(special) = &mut self.router.special {
            special.kept = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_absolute() {
        let parts = |location: &str| {
            let target = parse(location.as_bytes())?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Some([text(target.scheme), text(target.host), text(target.path)].join(" "))
        };
        for (location, expected) in [
            ("http://a", "http a /"),
            ("http://a:81/b?c=d#e", "http a:81 /b?c=d"),
            ("https://u:p@a/", "https a /"),
            ("http://a?x", "http a ?x"),
            ("http://[::1]:80/b", "http [::1]:80 /b"),
        ] {
            assert_eq!(parts(location).as_deref(), Some(expected), "{location}");
        }
        for location in [
            "",
            "/a",
            "a",
            "://a",
            "http:///a",
            "http://",
            "http://a b/",
            "//a/b",
            "http://:80/",
        ] {
            assert_eq!(parts(location), None, "{location}");
        }
    }

    #[test]
    fn a_route_is_not_taken_twice_from_the_same_one() {
        let mut redirects = Redirects::default();
        let mut accepts =
            |from, to| redirects.accepts(&RedirectPredicate::PreviousRoutes, from, to, false);
        assert!(accepts("a", "b") && accepts("b", "a") && accepts("a", "c"));
        assert!(!accepts("a", "b"));
    }
}
