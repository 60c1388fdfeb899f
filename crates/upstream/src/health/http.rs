//! HTTP health checks: a request, and what its answer must be like.

use nuncio_http::{HeaderMap, Known};

use super::exchange::{Answer, HttpConnection};
use super::payload::contains;
use super::{Failure, Finding};

/// `HttpHealthCheck`.
#[derive(Clone, Debug)]
pub(crate) struct HttpCheck {
    /// Everything but `:authority`.
    pub(crate) headers: HeaderMap,
    /// Empty: what the host is called.
    pub(crate) host: String,
    pub(crate) body: Vec<u8>,
    pub(crate) receive: Vec<Vec<u8>>,
    /// Bytes of the answer that are looked at for `receive`.
    pub(crate) response_buffer_size: usize,
    pub(crate) expected: StatusRanges,
    pub(crate) retriable: StatusRanges,
    pub(crate) codec: HttpCodec,
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
    /// Asks; whether the connection may be used again stands beside the finding. `name`: what the host is called.
    pub(super) async fn ask(&self, connection: &mut HttpConnection, name: &str) -> (Finding, bool) {
        let mut headers = self.headers.clone();
        headers.append(Known::Authority, name.as_bytes());
        let max_body = match self.receive.is_empty() {
            true => 0,
            false => self.response_buffer_size,
        };
        match connection.exchange(&headers, &self.body, max_body).await {
            Ok(answer) => (self.judge(&answer), answer.keep),
            Err(_) => (Finding::Unhealthy(Failure::Network), false),
        }
    }

    fn judge(&self, answer: &Answer) -> Finding {
        let status = answer.headers.status().unwrap_or(0);
        let has = |name| answer.headers.contains(name);
        let failure = |retriable| {
            Finding::Unhealthy(Failure::Active {
                retriable,
                excluded: has(Known::XEnvoyImmediateHealthCheckFail),
            })
        };
        if !self.expected.contains(status) {
            return failure(self.retriable.contains(status));
        }
        if !self.receive.is_empty() && !contains(&self.receive, &answer.body) {
            return failure(false);
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
            host: String::new(),
            body: Vec::new(),
            receive: Vec::new(),
            response_buffer_size: 1024,
            expected: StatusRanges(vec![(200, 201), (300, 400)]),
            retriable: StatusRanges(vec![(500, 600)]),
            codec: HttpCodec::Http1,
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
        assert_eq!(judge("201"), Finding::Unhealthy(Failure::UNEXPECTED));
        assert_eq!(
            judge("503"),
            Finding::Unhealthy(Failure::Active {
                retriable: true,
                excluded: false
            })
        );
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
                excluded: true
            })
        );
        check.receive = vec![b"UP".to_vec()];
        assert_eq!(
            check.judge(&answer("200", &[], "{UP}")),
            Finding::Healthy { degraded: false }
        );
        assert_eq!(
            check.judge(&answer("200", &[], "DOWN")),
            Finding::Unhealthy(Failure::UNEXPECTED)
        );
    }
}
