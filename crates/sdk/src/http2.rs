//! What downstream and upstream connections share of HTTP/2 above its codec: configuration and stats.

mod keepalive;
mod outbound;

use std::fmt::Write as _;
use std::time::Duration;

use nuncio_config::api::core;
use nuncio_config::{ConfigError, Within, convert};
use nuncio_http::h2::{Counts, H2Settings};
use nuncio_stats::{LocalGroup, stats_schema};

pub use keepalive::{KeepaliveDue, KeepaliveTimer};
pub use outbound::OutboundFrames;

/// Settings that have a field of their own in `Http2ProtocolOptions` (RFC 9113, section 6.5.2; RFC 8441, section 3).
const ENABLE_PUSH: u16 = 2;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// `Http2ProtocolOptions.connection_keepalive`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keepalive {
    /// Between two PINGs; absent: none are sent at an interval.
    pub interval: Option<Duration>,
    /// How long the answer, or any other frame, may take.
    pub timeout: Duration,
    /// At most so much is added to the interval, as a percentage of it.
    pub jitter: f64,
    /// A client that was idle for so long sends a PING ahead of its next stream.
    pub idle_interval: Option<Duration>,
}

/// `Http2ProtocolOptions`, validated.
#[derive(Clone, Debug)]
pub struct Http2Options {
    /// For the codec.
    pub settings: H2Settings,
    /// `connection_keepalive`
    pub keepalive: Option<Keepalive>,
}

impl Http2Options {
    /// Reads the options; `settings` holds what comes from elsewhere (limits of header lists, underscores, and whether invalid
    /// messages end only their stream where the options do not say).
    ///
    /// # Errors
    /// The first thing that is wrong; the path is relative to the options.
    pub fn new(
        options: Option<&core::Http2ProtocolOptions>,
        mut settings: H2Settings,
    ) -> Result<Http2Options, ConfigError> {
        let Some(options) = options else {
            return Ok(Http2Options {
                settings,
                keepalive: None,
            });
        };
        let number = convert::u32_or;
        settings.custom_settings = custom_settings(options)?;
        let s = &mut settings;
        s.hpack_table_size = number(options.hpack_table_size.as_ref(), s.hpack_table_size);
        s.max_concurrent_streams = number(
            options.max_concurrent_streams.as_ref(),
            s.max_concurrent_streams,
        );
        s.initial_stream_window_size = number(
            options.initial_stream_window_size.as_ref(),
            s.initial_stream_window_size,
        );
        s.initial_connection_window_size = number(
            options.initial_connection_window_size.as_ref(),
            s.initial_connection_window_size,
        );
        s.allow_connect = options.allow_connect;
        s.max_outbound_frames = number(options.max_outbound_frames.as_ref(), s.max_outbound_frames);
        s.max_outbound_control_frames = number(
            options.max_outbound_control_frames.as_ref(),
            s.max_outbound_control_frames,
        );
        s.max_consecutive_empty_frames = number(
            options
                .max_consecutive_inbound_frames_with_empty_payload
                .as_ref(),
            s.max_consecutive_empty_frames,
        );
        s.max_priority_frames_per_stream = number(
            options.max_inbound_priority_frames_per_stream.as_ref(),
            s.max_priority_frames_per_stream,
        );
        s.max_window_updates_per_data_frame = number(
            options
                .max_inbound_window_update_frames_per_data_frame_sent
                .as_ref(),
            s.max_window_updates_per_data_frame,
        );
        #[expect(deprecated, reason = "configurations still use it")]
        let by_old_name = options.stream_error_on_invalid_http_messaging;
        s.stream_error_on_invalid_messages = convert::bool_or(
            options
                .override_stream_error_on_invalid_http_message
                .as_ref(),
            s.stream_error_on_invalid_messages || by_old_name,
        );
        s.huffman = convert::bool_or(options.enable_huffman_encoding.as_ref(), s.huffman);
        s.disallow_obs_text =
            convert::bool_or(options.disallow_obs_text.as_ref(), s.disallow_obs_text);
        s.max_header_field_bytes = field_limit(options, s)?;
        let long = |value: Option<&nuncio_config::api::protobuf::UInt64Value>, default| {
            value.map_or(default, |value| value.value)
        };
        s.stream_reset_burst = long(options.stream_reset_burst.as_ref(), s.stream_reset_burst);
        s.stream_reset_rate = long(options.stream_reset_rate.as_ref(), s.stream_reset_rate);
        let keepalive = options.connection_keepalive.as_ref().map(keepalive);
        Ok(Http2Options {
            keepalive: keepalive.transpose().within("connection_keepalive")?,
            settings,
        })
    }
}

/// A single field cannot be larger than all headers together.
fn field_limit(
    options: &core::Http2ProtocolOptions,
    settings: &H2Settings,
) -> Result<usize, ConfigError> {
    let Some(kilobytes) = &options.max_header_field_size_kb else {
        return Ok(settings.max_header_field_bytes);
    };
    let bytes = kilobytes.value as usize * 1024;
    if bytes > settings.max_header_bytes {
        return Err(ConfigError::new(
            "max_header_field_size_kb",
            format!(
                "must not exceed the limit of all headers together ({} KB)",
                settings.max_header_bytes / 1024
            ),
        ));
    }
    Ok(bytes)
}

fn keepalive(config: &core::KeepaliveSettings) -> Result<Keepalive, ConfigError> {
    let duration = |value, field: &str| {
        let duration = convert::opt_duration(value).within(field)?;
        Ok(duration.filter(|duration: &Duration| !duration.is_zero()))
    };
    let timeout = config.timeout.as_ref();
    let timeout = timeout.ok_or_else(|| ConfigError::new("timeout", "value is required"))?;
    Ok(Keepalive {
        interval: duration(config.interval.as_ref(), "interval")?,
        timeout: convert::duration(timeout).within("timeout")?,
        jitter: config.interval_jitter.as_ref().map_or(15.0, |p| p.value),
        idle_interval: duration(
            config.connection_idle_interval.as_ref(),
            "connection_idle_interval",
        )?,
    })
}

/// Envoy's `validateCustomSettingsParameters`: its rules and its words. A parameter that is repeated is sent once.
fn custom_settings(options: &core::Http2ProtocolOptions) -> Result<Vec<(u16, u32)>, ConfigError> {
    const FIELD: &str = "custom_settings_parameters";
    let mut settings: Vec<(u16, u32)> = Vec::new();
    let mut inconsistent = String::new();
    let mut named = Vec::new();
    for parameter in &options.custom_settings_parameters {
        let identifier = convert::u32_or(parameter.identifier.as_ref(), 0);
        let value = convert::u32_or(parameter.value.as_ref(), 0);
        let Ok(identifier) = u16::try_from(identifier) else {
            return Err(ConfigError::new(FIELD, "an identifier has 16 bits"));
        };
        match settings.iter().find(|(known, _)| *known == identifier) {
            None => settings.push((identifier, value)),
            Some((_, known)) if *known != value => {
                let comma = if inconsistent.is_empty() { "" } else { "," };
                // Writing to a string cannot fail.
                let _ = write!(inconsistent, "{comma}0x{identifier:02x}");
            }
            Some(_) => {}
        }
        match identifier {
            ENABLE_PUSH if value == 1 => {
                return Err(ConfigError::new(
                    FIELD,
                    "server push is not supported by Envoy and can not be enabled via a SETTINGS parameter.",
                ));
            }
            ENABLE_CONNECT_PROTOCOL => {
                return Err(ConfigError::new(
                    FIELD,
                    "the \"allow_connect\" SETTINGS parameter must only be configured through the named field",
                ));
            }
            1 if options.hpack_table_size.is_some() => named.push("hpack_table_size"),
            3 if options.max_concurrent_streams.is_some() => named.push("max_concurrent_streams"),
            4 if options.initial_stream_window_size.is_some() => {
                named.push("initial_stream_window_size");
            }
            _ => {}
        }
    }
    if !inconsistent.is_empty() {
        return Err(ConfigError::new(
            FIELD,
            format!(
                "inconsistent HTTP/2 custom SETTINGS parameter(s) detected; identifiers = {{{inconsistent}}}"
            ),
        ));
    }
    if !named.is_empty() {
        return Err(ConfigError::new(
            FIELD,
            format!(
                "the {{{}}} HTTP/2 SETTINGS parameter(s) can not be configured through both named and custom parameters",
                named.join(",")
            ),
        ));
    }
    Ok(settings)
}

stats_schema! {
    /// `http2.` and `cluster.<name>.http2.`: what the codecs count.
    pub Http2Stats {
        counters {
            cookies_total_bytes_too_large,
            dropped_headers_with_underscores,
            goaway_sent,
            header_list_size_too_large,
            header_overflow,
            headers_cb_no_stream,
            inbound_empty_frames_flood,
            inbound_priority_frames_flood,
            inbound_window_update_frames_flood,
            keepalive_timeout,
            metadata_empty_frames,
            nghttp2_downstream_connections,
            nghttp2_upstream_connections,
            oghttp2_downstream_connections,
            oghttp2_upstream_connections,
            outbound_control_flood,
            outbound_flood,
            requests_rejected_with_underscores_in_headers,
            rx_messaging_error,
            rx_reset,
            stream_refused_errors,
            trailers,
            tx_flush_timeout,
            tx_reset,
        }
        gauges {
            deferred_stream_close,
            outbound_control_frames_active with streams_active,
            outbound_frames_active with streams_active,
            pending_send_bytes,
            streams_active,
        }
        histograms {
            cookie_count (Unspecified),
            cookie_size (Unspecified),
            header_count (Unspecified),
            header_list_size (Unspecified),
        }
    }
}

impl Http2Stats {
    /// Adds what a connection has counted.
    pub fn add(stats: &LocalGroup, counts: &Counts) {
        let Counts {
            dropped_headers_with_underscores,
            requests_rejected_with_underscores_in_headers,
            goaway_sent,
            header_overflow,
            inbound_empty_frames_flood,
            inbound_priority_frames_flood,
            inbound_window_update_frames_flood,
            outbound_control_flood,
            outbound_flood,
            rx_messaging_error,
            rx_reset,
            tx_reset,
            stream_refused_errors,
            trailers,
            header_list_size_too_large,
            cookies_total_bytes_too_large,
        } = *counts;
        for (slot, count) in [
            (
                Self::DROPPED_HEADERS_WITH_UNDERSCORES,
                dropped_headers_with_underscores,
            ),
            (
                Self::REQUESTS_REJECTED_WITH_UNDERSCORES_IN_HEADERS,
                requests_rejected_with_underscores_in_headers,
            ),
            (Self::GOAWAY_SENT, goaway_sent),
            (Self::HEADER_OVERFLOW, header_overflow),
            (Self::INBOUND_EMPTY_FRAMES_FLOOD, inbound_empty_frames_flood),
            (
                Self::INBOUND_PRIORITY_FRAMES_FLOOD,
                inbound_priority_frames_flood,
            ),
            (
                Self::INBOUND_WINDOW_UPDATE_FRAMES_FLOOD,
                inbound_window_update_frames_flood,
            ),
            (Self::OUTBOUND_CONTROL_FLOOD, outbound_control_flood),
            (Self::OUTBOUND_FLOOD, outbound_flood),
            (Self::RX_MESSAGING_ERROR, rx_messaging_error),
            (Self::RX_RESET, rx_reset),
            (Self::TX_RESET, tx_reset),
            (Self::STREAM_REFUSED_ERRORS, stream_refused_errors),
            (Self::TRAILERS, trailers),
            (Self::HEADER_LIST_SIZE_TOO_LARGE, header_list_size_too_large),
            (
                Self::COOKIES_TOTAL_BYTES_TOO_LARGE,
                cookies_total_bytes_too_large,
            ),
        ] {
            if count > 0 {
                stats.add(slot, u64::from(count));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncio_config::api::core::http2_protocol_options::SettingsParameter;
    use nuncio_config::api::protobuf::UInt32Value;

    use super::*;

    fn custom(parameters: &[(u32, u32)]) -> core::Http2ProtocolOptions {
        let wrap = |value| Some(UInt32Value { value });
        core::Http2ProtocolOptions {
            custom_settings_parameters: parameters
                .iter()
                .map(|&(identifier, value)| SettingsParameter {
                    identifier: wrap(identifier),
                    value: wrap(value),
                })
                .collect(),
            hpack_table_size: wrap(100),
            ..Default::default()
        }
    }

    #[test]
    fn custom_settings_must_be_consistent() {
        let read = |parameters: &[(u32, u32)]| custom_settings(&custom(parameters));
        assert_eq!(
            read(&[(10, 1), (11, 2), (10, 1)]),
            Ok(vec![(10, 1), (11, 2)])
        );
        for (parameters, message) in [
            (&[(10, 1), (10, 2)][..], "identifiers = {0x0a}"),
            (&[(2, 1)], "server push"),
            (&[(8, 0)], "allow_connect"),
            (&[(1, 5)], "the {hpack_table_size}"),
        ] {
            let error = read(parameters).unwrap_err();
            assert!(error.message.contains(message), "{error}");
        }
        assert!(read(&[(2, 0)]).is_ok());
    }

    #[test]
    fn defaults_are_kept() {
        let options = core::Http2ProtocolOptions::default();
        let read = Http2Options::new(Some(&options), H2Settings::default()).unwrap();
        assert_eq!(read.settings.max_concurrent_streams, 1024);
        assert_eq!(read.keepalive, None);
    }
}
