//! `proxy_status_config`: the `proxy-status` header of responses that were made because something failed (RFC 9209).

use nuncio_config::api::hcm::http_connection_manager::ProxyStatusConfig;
use nuncio_config::api::hcm::http_connection_manager::proxy_status_config::ProxyName;
use nuncio_http::{HeaderMap, Known};
use nuncio_sdk::{ResponseFlags, StreamInfo};

/// What the header tells of a stream.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    flags: ResponseFlags,
    details: Option<&'a str>,
    termination_details: Option<&'a str>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(info: &'a StreamInfo) -> Self {
        Facts {
            flags: info.flags,
            details: info.response_code_details.as_deref(),
            termination_details: info.connection_termination_details.as_deref(),
        }
    }
}

/// A compiled `proxy_status_config`.
#[derive(Debug)]
pub(crate) struct ProxyStatus {
    name: Box<str>,
    details: bool,
    termination_details: bool,
    response_flags: bool,
    /// `set_recommended_response_code`
    sets_status: bool,
}

/// What a response flag means to RFC 9209: the error's type, and the status recommended for it.
struct Error {
    flag: ResponseFlags,
    kind: &'static str,
    status: Option<u16>,
}

const fn error(flag: ResponseFlags, kind: &'static str, status: u16) -> Error {
    let status = Some(status);
    Error { flag, kind, status }
}

const fn bad_request(flag: ResponseFlags) -> Error {
    Error {
        flag,
        kind: "http_request_error",
        status: None,
    }
}

/// The first flag that is set decides (Envoy's `ProxyStatusUtils::fromStreamInfo`).
const ERRORS: &[Error] = &{
    use ResponseFlags as Flag;
    [
        error(
            Flag::FAILED_LOCAL_HEALTH_CHECK,
            "destination_unavailable",
            503,
        ),
        error(Flag::NO_HEALTHY_UPSTREAM, "destination_unavailable", 503),
        error(Flag::UPSTREAM_REQUEST_TIMEOUT, "http_response_timeout", 504),
        error(Flag::DURATION_TIMEOUT, "connection_timeout", 504),
        error(Flag::LOCAL_RESET, "connection_timeout", 504),
        error(Flag::UPSTREAM_REMOTE_RESET, "connection_terminated", 502),
        error(Flag::UPSTREAM_CONNECTION_FAILURE, "connection_refused", 502),
        error(
            Flag::UNAUTHORIZED_EXTERNAL_SERVICE,
            "connection_refused",
            502,
        ),
        error(
            Flag::UPSTREAM_CONNECTION_TERMINATION,
            "connection_terminated",
            502,
        ),
        error(Flag::OVERLOAD_MANAGER, "connection_limit_reached", 503),
        error(Flag::DROP_OVERLOAD, "connection_limit_reached", 503),
        bad_request(Flag::FAULT_INJECTED),
        error(
            Flag::DOWNSTREAM_CONNECTION_TERMINATION,
            "connection_terminated",
            502,
        ),
        error(Flag::DOWNSTREAM_REMOTE_RESET, "connection_terminated", 502),
        error(Flag::UPSTREAM_OVERFLOW, "connection_limit_reached", 503),
        error(Flag::NO_ROUTE_FOUND, "destination_not_found", 500),
        error(Flag::RATE_LIMITED, "connection_limit_reached", 503),
        error(
            Flag::RATE_LIMIT_SERVICE_ERROR,
            "connection_limit_reached",
            503,
        ),
        error(
            Flag::UPSTREAM_RETRY_LIMIT_EXCEEDED,
            "destination_unavailable",
            503,
        ),
        error(Flag::STREAM_IDLE_TIMEOUT, "http_response_timeout", 504),
        bad_request(Flag::INVALID_ENVOY_REQUEST_HEADERS),
        bad_request(Flag::DOWNSTREAM_PROTOCOL_ERROR),
        error(
            Flag::UPSTREAM_MAX_STREAM_DURATION_REACHED,
            "http_response_timeout",
            504,
        ),
        error(
            Flag::NO_FILTER_CONFIG_FOUND,
            "proxy_configuration_error",
            500,
        ),
        error(Flag::UPSTREAM_PROTOCOL_ERROR, "http_protocol_error", 502),
        error(Flag::NO_CLUSTER_FOUND, "destination_unavailable", 503),
        error(Flag::DNS_RESOLUTION_FAILED, "dns_error", 502),
    ]
};

impl ProxyStatus {
    /// `server_name` and `node_id` are those of the connection manager.
    pub(super) fn new(config: &ProxyStatusConfig, server_name: &str, node_id: &str) -> ProxyStatus {
        let ProxyStatusConfig {
            remove_details,
            remove_connection_termination_details,
            remove_response_flags,
            set_recommended_response_code,
            proxy_name,
        } = config;
        let name = match proxy_name {
            Some(ProxyName::LiteralProxyName(name)) => name,
            // Whether it is true or false.
            Some(ProxyName::UseNodeId(_)) => node_id,
            None => server_name,
        };
        ProxyStatus {
            name: name.into(),
            details: !remove_details,
            termination_details: !remove_connection_termination_details,
            response_flags: !remove_response_flags,
            sets_status: *set_recommended_response_code,
        }
    }

    /// Tells in a response what failed, if something did.
    pub(super) fn apply(&self, headers: &mut HeaderMap, facts: Facts<'_>) {
        let found = ERRORS.iter().find(|error| facts.flags.contains(error.flag));
        let Some(Error { kind, status, .. }) = found else {
            return;
        };
        let mut value = format!("{}; error={kind}", self.name);
        if let (true, Some(details)) = (self.details, facts.details) {
            value.push_str("; details=\"");
            escape(details, &mut value);
            if let (true, Some(more)) = (self.termination_details, facts.termination_details) {
                value.push_str("; ");
                escape(more, &mut value);
            }
            if self.response_flags {
                for (index, flag) in facts.flags.short_names().enumerate() {
                    value.push_str(if index == 0 { "; " } else { "," });
                    value.push_str(flag);
                }
            }
            value.push('"');
        }
        headers.append_to_value(Known::ProxyStatus, b", ", value.as_bytes());
        if let (true, Some(status)) = (self.sets_status, *status) {
            headers.set_status(status);
        }
    }
}

/// Appends text as Envoy writes it between quotes: with escapes of C.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header and the status of a 503.
    fn told(
        config: &ProxyStatusConfig,
        flags: ResponseFlags,
        before: Option<&str>,
    ) -> (Option<String>, u16) {
        let facts = Facts {
            flags,
            details: Some("why \"so\""),
            termination_details: Some("gone"),
        };
        let mut headers = HeaderMap::new();
        headers.set_status(503);
        if let Some(before) = before {
            headers.append(Known::ProxyStatus, before.as_bytes());
        }
        ProxyStatus::new(config, "server", "node").apply(&mut headers, facts);
        let value = headers.get(Known::ProxyStatus);
        (
            value.map(|value| String::from_utf8_lossy(value).into_owned()),
            headers.status().unwrap(),
        )
    }

    fn header(config: &ProxyStatusConfig, flags: ResponseFlags) -> String {
        told(config, flags, None).0.unwrap()
    }

    #[test]
    fn failures_are_told() {
        let config = ProxyStatusConfig::default();
        assert_eq!(
            header(&config, ResponseFlags::UPSTREAM_CONNECTION_FAILURE),
            "server; error=connection_refused; details=\"why \\\"so\\\"; gone; UF\""
        );
        // The more telling one of two flags counts, and both are named.
        assert_eq!(
            header(
                &config,
                ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED
                    | ResponseFlags::UPSTREAM_REQUEST_TIMEOUT
            ),
            "server; error=http_response_timeout; details=\"why \\\"so\\\"; gone; URX,UT\""
        );
        for no_failure in [ResponseFlags::NONE, ResponseFlags::DELAY_INJECTED] {
            assert_eq!(told(&config, no_failure, None), (None, 503));
        }
        let added = told(
            &config,
            ResponseFlags::NO_ROUTE_FOUND,
            Some("origin; error=x"),
        );
        assert!(
            added
                .0
                .unwrap()
                .starts_with("origin; error=x, server; error=destination_not_found;")
        );
    }

    #[test]
    fn parts_can_be_left_out() {
        let flag = ResponseFlags::NO_HEALTHY_UPSTREAM;
        let without = |change: fn(&mut ProxyStatusConfig)| {
            let mut config = ProxyStatusConfig::default();
            change(&mut config);
            header(&config, flag)
        };
        assert_eq!(
            without(|config| config.remove_details = true),
            "server; error=destination_unavailable"
        );
        assert_eq!(
            without(|config| config.remove_connection_termination_details = true),
            "server; error=destination_unavailable; details=\"why \\\"so\\\"; UH\""
        );
        assert_eq!(
            without(|config| config.remove_response_flags = true),
            "server; error=destination_unavailable; details=\"why \\\"so\\\"; gone\""
        );
        let name = |name| {
            let config = ProxyStatusConfig {
                remove_details: true,
                proxy_name: Some(name),
                ..ProxyStatusConfig::default()
            };
            header(&config, flag)
        };
        assert!(name(ProxyName::UseNodeId(false)).starts_with("node;"));
        assert!(name(ProxyName::LiteralProxyName("me".into())).starts_with("me;"));
    }

    #[test]
    fn the_recommended_status_may_be_set() {
        let config = ProxyStatusConfig {
            set_recommended_response_code: true,
            ..ProxyStatusConfig::default()
        };
        let status = |flags| told(&config, flags, None).1;
        assert_eq!(status(ResponseFlags::UPSTREAM_CONNECTION_FAILURE), 502);
        assert_eq!(status(ResponseFlags::UPSTREAM_REQUEST_TIMEOUT), 504);
        assert_eq!(status(ResponseFlags::NO_ROUTE_FOUND), 500);
        assert_eq!(status(ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR), 503);
    }
}
