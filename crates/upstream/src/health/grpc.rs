//! gRPC health checks: `grpc.health.v1.Health/Check`.

use std::sync::Arc;

use nuncio_http::HeaderMap;
use nuncio_http::grpc::{Code, FrameHeader, PREFIX_LEN, format_timeout, status_in};
use nuncio_route::HeaderMutations;
use nuncio_sdk::Protocol;

use super::exchange::{Answer, HttpConnection};
use super::{Failure, Finding, Target};

/// `GrpcHealthCheck`.
#[derive(Clone, Debug)]
pub(crate) struct GrpcCheck {
    /// Empty: the server as a whole.
    pub(crate) service_name: String,
    /// Empty: the cluster's name.
    pub(crate) authority: String,
    /// `initial_metadata`
    pub(crate) metadata: Option<Arc<HeaderMutations>>,
}

/// `HealthCheckResponse.ServingStatus.SERVING`
const SERVING: u8 = 1;
/// The answer has one small number.
const MAX_ANSWER: usize = 64;

impl GrpcCheck {
    /// Asks; whether the connection may be used again stands beside the finding.
    pub(super) async fn ask(
        &self,
        connection: &mut HttpConnection,
        target: &Target,
        timeout: std::time::Duration,
    ) -> (Finding, bool) {
        let mut headers: HeaderMap = [
            (":method", "POST"),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", target.authority(&self.authority)),
            (":scheme", "http"),
            ("te", "trailers"),
            ("grpc-timeout", format_timeout(timeout).as_str()),
            ("content-type", "application/grpc"),
            ("user-agent", "Envoy/HC"),
        ]
        .into_iter()
        .collect();
        target.change(&mut headers, self.metadata.as_deref(), Protocol::Http2);
        match connection
            .exchange(&headers, &self.request(), MAX_ANSWER)
            .await
        {
            Ok(answer) => (judge(&answer), answer.keep),
            Err(_) => (Finding::Unhealthy(Failure::Network), false),
        }
    }

    /// `HealthCheckRequest { service = 1 }`, framed.
    fn request(&self) -> Vec<u8> {
        let mut message = Vec::new();
        if !self.service_name.is_empty() {
            prost::encoding::string::encode(1, &self.service_name, &mut message);
        }
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        [&FrameHeader::plain(length).to_bytes(), message.as_slice()].concat()
    }
}

fn judge(answer: &Answer) -> Finding {
    let in_headers = status_in(&answer.headers);
    let status = in_headers.or_else(|| status_in(&answer.trailers));
    let serving = answer.headers.status() == Some(200)
        && matches!(status, Some(Ok(Code::OK)))
        && serving_status(&answer.body) == Some(SERVING);
    match serving {
        true => Finding::Healthy { degraded: false },
        false => Finding::Unhealthy(Failure::UNEXPECTED),
    }
}

/// `HealthCheckResponse { status = 1 }` of one uncompressed frame; the last of several values counts.
fn serving_status(body: &[u8]) -> Option<u8> {
    let (prefix, message) = body.split_at_checked(PREFIX_LEN)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if prefix[0] != 0 || length as usize != message.len() {
        return None;
    }
    match message {
        [] => Some(0),
        [0x08, status] => Some(*status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &[u8], status: &str) -> Answer {
        Answer {
            headers: [(":status", "200")].into_iter().collect(),
            body: body.into(),
            trailers: [("grpc-status", status)].into_iter().collect(),
            keep: true,
        }
    }

    #[test]
    fn only_serving_is_healthy() {
        let healthy = Finding::Healthy { degraded: false };
        assert_eq!(judge(&answer(b"\0\0\0\0\x02\x08\x01", "0")), healthy);
        for (body, status) in [
            (b"\0\0\0\0\x02\x08\x02".as_slice(), "0"),
            (b"\0\0\0\0\x00", "0"),
            (b"\0\0\0\0\x02\x08\x01", "5"),
            (b"\x01\0\0\0\x02\x08\x01", "0"),
            (b"\0\0\0\0\x09\x08\x01", "0"),
            (b"", "12"),
        ] {
            let found = judge(&answer(body, status));
            assert_eq!(found, Finding::Unhealthy(Failure::UNEXPECTED), "{body:?}");
        }
    }

    #[test]
    fn the_request_names_the_service() {
        let check = |service: &str| GrpcCheck {
            service_name: service.into(),
            authority: String::new(),
            metadata: None,
        };
        assert_eq!(check("svc").request(), b"\0\0\0\0\x05\x0a\x03svc");
        assert_eq!(check("").request(), b"\0\0\0\0\0");
    }
}
