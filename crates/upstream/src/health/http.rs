//! HTTP health checks: a request, and what its answer must be like.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nuncio_http::{HeaderMap, Known};
use nuncio_route::HeaderMutations;
use nuncio_route::matchers::StringMatcher;
use nuncio_sdk::Protocol;
use nuncio_sdk::runtime::RuntimeInteger;

use super::exchange::{Answer, HttpConnection};
use super::payload::contains;
use super::probe::After;
use super::{Failure, Finding, Target};

/// `HttpHealthCheck`.
#[derive(Clone, Debug)]
pub(crate) struct HttpCheck {
    /// Everything but `:authority`.
    pub(crate) headers: HeaderMap,
    /// What is added and removed, where a value is not known before.
    pub(crate) changes: Option<Arc<HeaderMutations>>,
    /// Empty: what the host is called.
    pub(crate) host: String,
    pub(crate) body: Vec<u8>,
    pub(crate) receive: Vec<Vec<u8>>,
    /// Bytes of the answer that are looked at for `receive`.
    pub(crate) response_buffer_size: usize,
    pub(crate) expected: StatusRanges,
    pub(crate) retriable: StatusRanges,
    pub(crate) codec: HttpCodec,
    /// `service_name_matcher`
    pub(crate) service: Option<Arc<ServiceName>>,
}

/// Which service must have answered: the proxy in front of it says so in `x-envoy-upstream-healthchecked-cluster`.
#[derive(Debug)]
pub(crate) struct ServiceName {
    pub(crate) matcher: StringMatcher,
    /// `health_check.verify_cluster` of the runtime: percent of the answers that are looked at.
    pub(crate) percent: RuntimeInteger,
    /// Answers that were looked at and are not counted yet.
    pub(super) verified: AtomicU64,
}

impl ServiceName {
    pub(crate) fn new(matcher: StringMatcher, percent: RuntimeInteger) -> Self {
        Self {
            matcher,
            percent,
            verified: AtomicU64::new(0),
        }
    }

    fn is_right(&self, headers: &HeaderMap) -> bool {
        if rand::random_range(0..100) >= self.percent.get() {
            return true;
        }
        self.verified.fetch_add(1, Relaxed);
        let name = headers.get(Known::XEnvoyUpstreamHealthcheckedCluster);
        self.matcher.matches(name.unwrap_or_default())
    }
}

/// `codec_client_type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpCodec {
    Http1,
    Http2,
}

/// From the first status up to, and without, the second.
pub(crate) type StatusRange = (u16, u16);

/// Some statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatusRanges(pub(crate) Vec<StatusRange>);

impl StatusRanges {
    fn contains(&self, status: u16) -> bool {
        self.0
            .iter()
            .any(|(start, end)| (*start..*end).contains(&status))
    }
}

impl HttpCheck {
    /// Asks; what becomes of the connection stands beside the finding.
    pub(super) async fn ask(
        &self,
        connection: &mut HttpConnection,
        target: &Target,
    ) -> (Finding, After) {
        let mut headers = self.headers.clone();
        headers.append(Known::Authority, target.authority(&self.host).as_bytes());
        let protocol = match self.codec {
            HttpCodec::Http1 => Protocol::Http11,
            HttpCodec::Http2 => Protocol::Http2,
        };
        target.change(&mut headers, self.changes.as_deref(), protocol);
        let max_body = match self.receive.is_empty() {
            true => 0,
            false => self.response_buffer_size,
        };
        match connection.exchange(&headers, &self.body, max_body).await {
            Ok(answer) if connection.is_reusable() => (self.judge(&answer), After::Keep),
            Ok(answer) => (self.judge(&answer), After::Close),
            Err(broken) => {
                let after = After::of(&broken, connection);
                (Finding::Unhealthy(Failure::Network), after)
            }
        }
    }

    fn judge(&self, answer: &Answer) -> Finding {
        let status = answer.headers.status().unwrap_or(0);
        let has = |name| answer.headers.contains(name);
        let failure = |retriable, excluded| {
            Finding::Unhealthy(Failure::Active {
                retriable,
                excluded,
                status,
            })
        };
        let excluded = has(Known::XEnvoyImmediateHealthCheckFail);
        if !self.receive.is_empty() && !contains(&self.receive, &answer.body) {
            return failure(false, excluded);
        }
        if !self.expected.contains(status) {
            return failure(self.retriable.contains(status), excluded);
        }
        let service = self.service.as_ref();
        if service.is_some_and(|service| !service.is_right(&answer.headers)) {
            return failure(false, false);
        }
        Finding::Healthy {
            degraded: has(Known::XEnvoyDegraded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HttpCheck {
        HttpCheck {
            headers: HeaderMap::new(),
            changes: None,
            host: String::new(),
            body: Vec::new(),
            receive: Vec::new(),
            response_buffer_size: 1024,
            expected: StatusRanges(vec![(200, 201), (300, 400)]),
            retriable: StatusRanges(vec![(500, 600)]),
            codec: HttpCodec::Http1,
            service: None,
        }
    }

    fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut map: HeaderMap = [(":status", status)].into_iter().collect();
        for (name, value) in headers {
            map.append(*name, value.as_bytes());
        }
        Answer {
            headers: map,
            body: body.into(),
            ..Answer::default()
        }
    }

    #[test]
    fn statuses_decide() {
        let check = check();
        let judge = |status| check.judge(&answer(status, &[], ""));
        assert_eq!(judge("200"), Finding::Healthy { degraded: false });
        assert_eq!(judge("399"), Finding::Healthy { degraded: false });
        let failed = |status, retriable, excluded| {
            Finding::Unhealthy(Failure::Active {
                retriable,
                excluded,
                status,
            })
        };
        assert_eq!(judge("201"), failed(201, false, false));
        assert_eq!(judge("503"), failed(503, true, false));
    }

    #[test]
    fn headers_and_body_decide_too() {
        let mut check = check();
        let degraded = answer("200", &[("x-envoy-degraded", "")], "");
        assert_eq!(check.judge(&degraded), Finding::Healthy { degraded: true });
        let excluded = answer(
            "404",
            &[("x-envoy-immediate-health-check-fail", "true")],
            "",
        );
        assert_eq!(
            check.judge(&excluded),
            Finding::Unhealthy(Failure::Active {
                retriable: false,
                excluded: true,
                status: 404
            })
        );
        check.receive = vec![b"UP".to_vec()];
        assert_eq!(
            check.judge(&answer("200", &[], "{UP}")),
            Finding::Healthy { degraded: false }
        );
        assert_eq!(
            check.judge(&answer("200", &[], "DOWN")),
            Finding::Unhealthy(Failure::Active {
                retriable: false,
                excluded: false,
                status: 200
            })
        );
    }

    #[test]
    fn the_right_service_must_have_answered() {
        let mut check = check();
        let service = |percent| {
            let service = StringMatcher::contains("svc");
            Some(Arc::new(ServiceName::new(
                service,
                RuntimeInteger::fixed(percent),
            )))
        };
        check.service = service(100);
        let header = "x-envoy-upstream-healthchecked-cluster";
        let well = Finding::Healthy { degraded: false };
        assert_eq!(check.judge(&answer("200", &[(header, "svc-1")], "")), well);
        assert_ne!(check.judge(&answer("200", &[(header, "other")], "")), well);
        assert_ne!(check.judge(&answer("200", &[], "")), well);
        let counted = check.service.as_ref().unwrap().verified.load(Relaxed);
        assert_eq!(counted, 3);
        check.service = service(0);
        assert_eq!(check.judge(&answer("200", &[], "")), well);
    }
}
