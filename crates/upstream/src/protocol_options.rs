//! Protocol options that clusters and HTTP connection managers have in common: one reader for both.

use std::time::Duration;

use nuncio_config::api::core::http1_protocol_options::HeaderKeyFormat;
use nuncio_config::api::core::http1_protocol_options::header_key_format::HeaderFormat;
use nuncio_config::api::core::http2_protocol_options::SettingsParameter;
use nuncio_config::api::core::{Http2ProtocolOptions, KeepaliveSettings, TypedExtensionConfig};
use nuncio_config::api::preserve_case::PreserveCaseFormatterConfig;
use nuncio_config::api::protobuf::{UInt32Value, UInt64Value};
use nuncio_config::{ConfigError, Within, any, convert};
use nuncio_http::h1::HeaderCase;
use nuncio_http::h2::H2Settings;

/// `core.v3.KeepaliveSettings`: PINGs that find out whether a peer is still there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keepalive {
    /// `interval` between PINGs; `None`: only before a stream on a connection that was idle.
    pub interval: Option<Duration>,
    /// `interval_jitter`, as a part of `interval`; Envoy's default is 0.15.
    pub jitter: f64,
    /// `timeout`: how long a PING may stay unanswered before the connection is closed.
    pub timeout: Duration,
    /// `connection_idle_interval`: after so long without a stream a PING goes before the next one.
    pub idle_interval: Option<Duration>,
}

/// SETTINGS identifiers (RFC 9113, section 6.5.2; RFC 8441).
mod id {
    pub(super) const HEADER_TABLE_SIZE: u16 = 0x1;
    pub(super) const ENABLE_PUSH: u16 = 0x2;
    pub(super) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
}

/// `core.v3.Http2ProtocolOptions` over `settings`, which hold the defaults of the side.
///
/// # Errors
/// What is not implemented, and what Envoy refuses (`Http2::Utility::initializeAndValidateOptions`).
pub fn http2_options(
    message: &Http2ProtocolOptions,
    mut settings: H2Settings,
) -> Result<(H2Settings, Option<Keepalive>), ConfigError> {
    #[expect(deprecated, reason = "every field is looked at")]
    let Http2ProtocolOptions {
        hpack_table_size,
        max_concurrent_streams,
        initial_stream_window_size,
        initial_connection_window_size,
        allow_connect,
        allow_metadata,
        max_outbound_frames,
        max_outbound_control_frames,
        max_consecutive_inbound_frames_with_empty_payload,
        max_inbound_priority_frames_per_stream,
        max_inbound_window_update_frames_per_data_frame_sent,
        stream_error_on_invalid_http_messaging,
        override_stream_error_on_invalid_http_message,
        custom_settings_parameters,
        connection_keepalive,
        // Harmless: there is one codec, which behaves as oghttp2, Envoy's default, does.
        use_oghttp2_codec: _,
        // Harmless: METADATA is refused altogether.
        max_metadata_size: _,
        enable_huffman_encoding,
        max_header_field_size_kb,
        disallow_obs_text,
        stream_reset_burst,
        stream_reset_rate,
    } = message;
    if *allow_metadata {
        return Err(ConfigError::new(
            "allow_metadata",
            "unsupported: METADATA frames are not implemented",
        ));
    }
    let set = |place: &mut u32, value: &Option<UInt32Value>| {
        if let Some(value) = value {
            *place = value.value;
        }
    };
    set(&mut settings.hpack_table_size, hpack_table_size);
    set(&mut settings.max_concurrent_streams, max_concurrent_streams);
    set(
        &mut settings.initial_stream_window_size,
        initial_stream_window_size,
    );
    set(
        &mut settings.initial_connection_window_size,
        initial_connection_window_size,
    );
    set(&mut settings.max_outbound_frames, max_outbound_frames);
    set(
        &mut settings.max_outbound_control_frames,
        max_outbound_control_frames,
    );
    set(
        &mut settings.max_consecutive_empty_frames,
        max_consecutive_inbound_frames_with_empty_payload,
    );
    set(
        &mut settings.max_priority_frames_per_stream,
        max_inbound_priority_frames_per_stream,
    );
    set(
        &mut settings.max_window_updates_per_data_frame,
        max_inbound_window_update_frames_per_data_frame_sent,
    );
    let set = |place: &mut u64, value: &Option<UInt64Value>| {
        if let Some(value) = value {
            *place = value.value;
        }
    };
    set(&mut settings.stream_reset_burst, stream_reset_burst);
    set(&mut settings.stream_reset_rate, stream_reset_rate);
    settings.allow_connect = *allow_connect;
    // The new field beats the deprecated one.
    settings.stream_error_on_invalid_messages = convert::bool_or(
        override_stream_error_on_invalid_http_message.as_ref(),
        *stream_error_on_invalid_http_messaging,
    );
    settings.huffman = convert::bool_or(enable_huffman_encoding.as_ref(), true);
    settings.disallow_obs_text = convert::bool_or(disallow_obs_text.as_ref(), false);
    if let Some(kib) = max_header_field_size_kb {
        settings.max_header_field_bytes = kib.value as usize * 1024;
    }
    let named = [
        (id::HEADER_TABLE_SIZE, hpack_table_size.is_some()),
        (id::MAX_CONCURRENT_STREAMS, max_concurrent_streams.is_some()),
        (
            id::INITIAL_WINDOW_SIZE,
            initial_stream_window_size.is_some(),
        ),
    ];
    settings.custom_settings =
        custom_settings(custom_settings_parameters, &named).within("custom_settings_parameters")?;
    let keepalive = connection_keepalive
        .as_ref()
        .map(keepalive)
        .transpose()
        .within("connection_keepalive")?;
    Ok((settings, keepalive))
}

fn custom_settings(
    parameters: &[SettingsParameter],
    named: &[(u16, bool)],
) -> Result<Vec<(u16, u32)>, ConfigError> {
    let mut settings: Vec<(u16, u32)> = Vec::new();
    for (index, SettingsParameter { identifier, value }) in parameters.iter().enumerate() {
        let error = |text: String| Err(ConfigError::new(format!("[{index}]"), text));
        // Envoy's rules see to it that both are there and that an identifier has 16 bits.
        let identifier = identifier.as_ref().map_or(0, |id| id.value) as u16;
        let value = convert::u32_or(value.as_ref(), 0);
        if identifier == id::ENABLE_PUSH && value != 0 {
            return error(
                "server push is not supported by Envoy and can not be enabled via a SETTINGS parameter."
                    .to_owned(),
            );
        }
        if named.contains(&(identifier, true)) || identifier == id::ENABLE_CONNECT_PROTOCOL {
            return error(format!(
                "the {{{identifier:#x}}} HTTP/2 SETTINGS parameter(s) can not be configured through both named and \
                 custom parameters"
            ));
        }
        match settings.iter().find(|(known, _)| *known == identifier) {
            Some((_, known)) if *known != value => {
                return error(format!(
                    "inconsistent HTTP/2 custom SETTINGS parameter(s) detected; identifiers = {{{identifier:#06x}}}"
                ));
            }
            Some(_) => {}
            None => settings.push((identifier, value)),
        }
    }
    Ok(settings)
}

fn keepalive(message: &KeepaliveSettings) -> Result<Keepalive, ConfigError> {
    let KeepaliveSettings {
        interval,
        timeout,
        interval_jitter,
        connection_idle_interval,
    } = message;
    let interval = convert::opt_duration(interval.as_ref()).within("interval")?;
    let timeout = convert::opt_duration(timeout.as_ref()).within("timeout")?;
    let jitter = match interval_jitter {
        Some(jitter) => convert::percent(jitter).within("interval_jitter")? / 100.0,
        None => 0.15,
    };
    Ok(Keepalive {
        interval,
        jitter,
        timeout: timeout.unwrap_or_default(),
        idle_interval: convert::opt_duration(connection_idle_interval.as_ref())
            .within("connection_idle_interval")?,
    })
}

/// `core.v3.Http1ProtocolOptions.HeaderKeyFormat`
///
/// # Errors
/// A formatter that is not implemented, or none.
pub fn header_case(format: &HeaderKeyFormat) -> Result<HeaderCase, ConfigError> {
    match &format.header_format {
        None => Err(ConfigError::new("header_format", "value is required")),
        Some(HeaderFormat::ProperCaseWords(_)) => Ok(HeaderCase::ProperWords),
        Some(HeaderFormat::StatefulFormatter(config)) => {
            stateful_formatter(config).within("stateful_formatter")
        }
    }
}

fn stateful_formatter(config: &TypedExtensionConfig) -> Result<HeaderCase, ConfigError> {
    let TypedExtensionConfig { name, typed_config } = config;
    let Some(config) = typed_config
        .as_ref()
        .filter(|config| any::is::<PreserveCaseFormatterConfig>(config))
    else {
        return Err(ConfigError::new(
            "typed_config",
            format!("unsupported: {name} is not implemented"),
        ));
    };
    let PreserveCaseFormatterConfig {
        forward_reason_phrase,
        formatter_type_on_envoy_headers,
    } = any::unpack(config)?;
    Ok(HeaderCase::Preserve {
        proper_own: formatter_type_on_envoy_headers == 1,
        forward_reason: forward_reason_phrase,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(identifier: u32, value: u32) -> SettingsParameter {
        SettingsParameter {
            identifier: Some(UInt32Value { value: identifier }),
            value: Some(UInt32Value { value }),
        }
    }

    #[test]
    fn nothing_said_keeps_the_defaults() {
        let (settings, keepalive) =
            http2_options(&Http2ProtocolOptions::default(), H2Settings::upstream()).unwrap();
        assert_eq!(settings.max_concurrent_streams, 1024);
        assert_eq!(settings.max_header_bytes, 80 << 10);
        assert_eq!(keepalive, None);
    }

    #[test]
    fn custom_settings_are_checked_as_envoy_checks_them() {
        let read = |parameters: &[SettingsParameter]| {
            http2_options(
                &Http2ProtocolOptions {
                    max_concurrent_streams: Some(UInt32Value { value: 7 }),
                    custom_settings_parameters: parameters.to_vec(),
                    ..Default::default()
                },
                H2Settings::default(),
            )
            .map(|(settings, _)| settings.custom_settings)
            .map_err(|error| error.to_string())
        };
        assert_eq!(
            read(&[parameter(0x10, 3), parameter(0x10, 3), parameter(2, 0)]),
            Ok(vec![(0x10, 3), (2, 0)])
        );
        for (parameters, problem) in [
            (vec![parameter(2, 1)], "server push"),
            (vec![parameter(3, 9)], "both named and"),
            (vec![parameter(0x10, 3), parameter(0x10, 4)], "inconsistent"),
        ] {
            assert!(read(&parameters).unwrap_err().contains(problem));
        }
    }

    #[test]
    fn keepalive_has_a_jitter_unless_told() {
        let message = KeepaliveSettings {
            timeout: Some(nuncio_config::api::protobuf::Duration {
                seconds: 2,
                nanos: 0,
            }),
            ..Default::default()
        };
        let read = keepalive(&message).unwrap();
        assert_eq!(
            (read.interval, read.jitter, read.timeout),
            (None, 0.15, Duration::from_secs(2))
        );
    }
}
