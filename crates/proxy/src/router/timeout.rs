//! How long an exchange may take, as route and request say.

use std::time::Duration;

use nuncio_http::{HeaderMap, Known, grpc};
use nuncio_route::Forward;

use super::{RouterConfig, number};

/// The timeout of the exchange, by route and request (Envoy's `FilterUtility::finalTimeout`).
pub(super) fn timeout(
    forward: &Forward,
    config: &RouterConfig,
    headers: &mut HeaderMap,
) -> Option<Duration> {
    // A limit of the whole stream replaces the route's timeouts.
    let by_route = forward.max_stream_duration.is_none();
    let grpc_max = grpc_max(forward, headers);
    let mut timeout = match grpc_max {
        Some(max) => grpc_timeout(headers, max, forward.grpc_timeout_offset),
        None if by_route => forward.timeout.unwrap_or_default(),
        None => Duration::ZERO,
    };
    let asked = headers
        .get(Known::XEnvoyUpstreamRqTimeoutMs)
        .and_then(number);
    let expected = headers
        .get(Known::XEnvoyExpectedRqTimeoutMs)
        .and_then(number);
    let given = expected
        .filter(|_| config.respect_expected_rq_timeout)
        .or(asked);
    if let Some(milliseconds) = given {
        timeout = Duration::from_millis(milliseconds);
    }
    headers.remove(Known::XEnvoyUpstreamRqTimeoutMs);
    (!timeout.is_zero()).then_some(timeout)
}

/// `max_grpc_timeout`, if it applies.
pub(super) fn grpc_max(forward: &Forward, headers: &HeaderMap) -> Option<Duration> {
    let by_route = forward.max_stream_duration.is_none();
    forward
        .max_grpc_timeout
        .filter(|_| by_route && grpc::is_grpc_request(headers))
}

/// What `grpc-timeout` asks for less the configured offset, at most `max` (0: no limit).
fn grpc_timeout(headers: &HeaderMap, max: Duration, offset: Option<Duration>) -> Duration {
    let asked = headers
        .get(Known::GrpcTimeout)
        .and_then(grpc::parse_timeout)
        .unwrap_or_default();
    let asked = match offset {
        Some(offset) if offset < asked => asked - offset,
        _ => asked,
    };
    match max.is_zero() {
        true => asked,
        false if asked.is_zero() => max,
        false => asked.min(max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_taken_off_before_the_limit_applies() {
        let timeout = |asked: &str, max: u64, offset: u64| {
            let headers: HeaderMap = [("grpc-timeout", asked)].into_iter().collect();
            let (max, offset) = (Duration::from_millis(max), Duration::from_millis(offset));
            grpc_timeout(&headers, max, Some(offset)).as_millis()
        };
        assert_eq!(timeout("1S", 500, 600), 400);
        assert_eq!(timeout("1S", 500, 100), 500);
        assert_eq!(timeout("1S", 0, 1000), 1000, "nothing would be left");
        assert_eq!(timeout("x", 500, 100), 500);
        assert_eq!(timeout("x", 0, 100), 0);
    }
}
