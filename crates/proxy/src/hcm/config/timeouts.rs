//! The connection manager's durations.

use std::time::Duration;

use nuncio_config::api::hcm::HttpConnectionManager;
use nuncio_config::api::{core, protobuf};
use nuncio_config::{ConfigError, Within, convert};

/// Durations; an absent one never expires.
pub(crate) struct Timeouts {
    /// Of a connection without requests. Default 1 h.
    pub(crate) idle: Option<Duration>,
    pub(crate) max_connection_duration: Option<Duration>,
    /// Added at random to `max_connection_duration`, as a percentage of it.
    pub(crate) max_connection_duration_jitter: f64,
    /// Of a stream without activity. Default 5 min.
    pub(crate) stream_idle: Option<Duration>,
    /// Of a stream whose response waits for the client to read. Default: `stream_idle`.
    pub(crate) stream_flush: Option<Duration>,
    pub(crate) max_stream_duration: Option<Duration>,
    /// Until the whole request has arrived.
    pub(crate) request: Option<Duration>,
    /// Until the request's headers have arrived.
    pub(crate) request_headers: Option<Duration>,
    /// From the start of a drain to the end of the connection. Default 5 s.
    pub(crate) drain: Duration,
    /// Per cent of `drain` that are added at most.
    pub(crate) drain_jitter: f64,
    /// How long the peer may take to notice a close. Default 1 s.
    pub(crate) delayed_close: Option<Duration>,
}

pub(super) fn timeouts(
    config: &HttpConnectionManager,
    common: &core::HttpProtocolOptions,
) -> Result<Timeouts, ConfigError> {
    let stream_idle = optional_timeout(
        config.stream_idle_timeout.as_ref(),
        Some(Duration::from_secs(300)),
        "stream_idle_timeout",
    )?;
    let of_connection = |value: Option<&protobuf::Duration>, default, field: &str| {
        optional_timeout(value, default, field).within("common_http_protocol_options")
    };
    Ok(Timeouts {
        idle: of_connection(
            common.idle_timeout.as_ref(),
            Some(Duration::from_secs(3600)),
            "idle_timeout",
        )?,
        max_connection_duration: of_connection(
            common.max_connection_duration.as_ref(),
            None,
            "max_connection_duration",
        )?,
        max_connection_duration_jitter: common
            .max_connection_duration_jitter
            .as_ref()
            .map_or(0.0, |percent| percent.value),
        max_stream_duration: of_connection(
            common.max_stream_duration.as_ref(),
            None,
            "max_stream_duration",
        )?,
        stream_idle,
        stream_flush: optional_timeout(
            config.stream_flush_timeout.as_ref(),
            stream_idle,
            "stream_flush_timeout",
        )?,
        request: optional_timeout(config.request_timeout.as_ref(), None, "request_timeout")?,
        request_headers: optional_timeout(
            config.request_headers_timeout.as_ref(),
            None,
            "request_headers_timeout",
        )?,
        drain: convert::opt_duration(config.drain_timeout.as_ref())
            .within("drain_timeout")?
            .unwrap_or(Duration::from_secs(5)),
        drain_jitter: config
            .drain_timeout_jitter
            .map_or(0.0, |percent| percent.value),
        delayed_close: optional_timeout(
            config.delayed_close_timeout.as_ref(),
            Some(Duration::from_secs(1)),
            "delayed_close_timeout",
        )?,
    })
}

/// A field's duration: absent is `default`, zero is none.
fn optional_timeout(
    value: Option<&protobuf::Duration>,
    default: Option<Duration>,
    field: &str,
) -> Result<Option<Duration>, ConfigError> {
    let duration = convert::opt_duration(value).within(field)?;
    Ok(duration.or(default).filter(|duration| !duration.is_zero()))
}
