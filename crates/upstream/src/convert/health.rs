//! Active health checks.

use std::sync::Arc;
use std::time::Duration;

use nuncio_access_log::{Destination, LogFile};
use nuncio_config::api::core::{
    HeaderValueOption, HealthCheck, TypedExtensionConfig,
    header_value_option::HeaderAppendAction,
    health_check::{
        CustomHealthCheck, GrpcHealthCheck, HealthChecker, HttpHealthCheck, Payload,
        TcpHealthCheck, custom_health_check::ConfigType, payload,
    },
};
use nuncio_config::api::health_check_file_sink::HealthCheckEventFileSink;
use nuncio_config::api::redis_health_check::Redis;
use nuncio_config::api::types::{CodecClientType, Int64Range};
use nuncio_config::api::udp_health_check::UdpHealthCheck;
use nuncio_config::{ConfigError, Within, any, convert as value};
use nuncio_http::{HeaderMap, Known};
use nuncio_route::matchers::StringMatcher;

use super::{Errors, SharedParts};
use crate::health::{
    Check, EventLog, GrpcCheck, HttpCheck, HttpCodec, RedisCheck, ServiceName, Settings,
    StatusRanges, TcpCheck, UdpCheck, hex,
};

/// The checks, as far as they are right. `http2`: the cluster's upstreams speak HTTP/2.
pub(super) fn settings(
    messages: Vec<HealthCheck>,
    http2: bool,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Vec<Settings> {
    let several = messages.len() > 1;
    let messages = messages.into_iter().enumerate();
    messages
        .filter_map(|(index, message)| {
            errors.nested(&format!("health_checks[{index}]"), |errors| {
                if several {
                    // Envoy 1.40 tells several apart by a `name`, which the messages at hand do not have yet.
                    errors.push(ConfigError::new(
                        "",
                        "unsupported: only one health check per cluster is implemented",
                    ));
                }
                one(message, http2, parts, errors)
            })
        })
        .collect()
}

#[expect(deprecated, reason = "deprecated fields are refused by name")]
fn one(
    message: HealthCheck,
    http2: bool,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Option<Settings> {
    let HealthCheck {
        timeout,
        interval,
        initial_jitter,
        interval_jitter,
        interval_jitter_percent,
        unhealthy_threshold,
        healthy_threshold,
        alt_port,
        reuse_connection,
        no_traffic_interval,
        no_traffic_healthy_interval,
        unhealthy_interval,
        unhealthy_edge_interval,
        healthy_edge_interval,
        event_log_path,
        event_logger,
        event_service,
        always_log_health_check_failures,
        always_log_health_check_success,
        tls_options,
        transport_socket_match_criteria,
        health_checker,
    } = message;
    for (set, field) in [
        (event_service.is_some(), "event_service"),
        (tls_options.is_some(), "tls_options"),
        (
            transport_socket_match_criteria.is_some(),
            "transport_socket_match_criteria",
        ),
    ] {
        errors.refuse_if(set, field);
    }
    let files = event_files(&event_log_path, &event_logger, parts, errors);
    let events = (!files.is_empty()).then(|| EventLog {
        files: files.into(),
        all_failures: always_log_health_check_failures,
        all_successes: always_log_health_check_success,
    });
    let check = match health_checker {
        Some(HealthChecker::HttpHealthCheck(check)) => errors
            .nested("http_health_check", |errors| http(check, parts, errors))
            .map(Check::Http),
        Some(HealthChecker::TcpHealthCheck(check)) => errors
            .nested("tcp_health_check", |errors| tcp(check, errors))
            .map(Check::Tcp),
        Some(HealthChecker::GrpcHealthCheck(check)) => {
            if !http2 {
                errors.push(ConfigError::new(
                    "grpc_health_check",
                    "cluster must support HTTP/2 for gRPC healthchecking",
                ));
            }
            Some(Check::Grpc(
                errors.nested("grpc_health_check", |errors| grpc(check, errors)),
            ))
        }
        Some(HealthChecker::CustomHealthCheck(check)) => {
            errors.nested("custom_health_check", |errors| custom(check, errors))
        }
        None => {
            errors.push(ConfigError::new(
                "",
                "one of http_health_check, tcp_health_check, grpc_health_check and custom_health_check is required",
            ));
            None
        }
    };
    let mut time = |field: &str, message: Option<_>| -> Option<Duration> {
        errors
            .take(value::opt_duration(message.as_ref()).within(field))
            .flatten()
    };
    let timeout = time("timeout", timeout);
    let interval = time("interval", interval);
    let initial_jitter = time("initial_jitter", initial_jitter).unwrap_or_default();
    let interval_jitter = time("interval_jitter", interval_jitter).unwrap_or_default();
    let no_traffic_interval =
        time("no_traffic_interval", no_traffic_interval).unwrap_or(NO_TRAFFIC_INTERVAL);
    let no_traffic_healthy_interval =
        time("no_traffic_healthy_interval", no_traffic_healthy_interval)
            .unwrap_or(no_traffic_interval);
    let unhealthy_interval = time("unhealthy_interval", unhealthy_interval);
    let unhealthy_edge_interval = time("unhealthy_edge_interval", unhealthy_edge_interval);
    let healthy_edge_interval = time("healthy_edge_interval", healthy_edge_interval);
    for (missing, field) in [
        (timeout.is_none(), "timeout"),
        (interval.is_none(), "interval"),
        (unhealthy_threshold.is_none(), "unhealthy_threshold"),
        (healthy_threshold.is_none(), "healthy_threshold"),
    ] {
        if missing {
            errors.push(ConfigError::new(field, "value is required"));
        }
    }
    let alt_port =
        alt_port.and_then(|port| {
            let port = u16::try_from(port.value).ok().filter(|port| *port > 0);
            errors.take(port.ok_or_else(|| {
                ConfigError::new("alt_port", "value must be inside range [1, 65535]")
            }))
        });
    let interval = interval?;
    let unhealthy_interval = unhealthy_interval.unwrap_or(interval);
    Some(Settings {
        timeout: timeout?,
        interval,
        initial_jitter,
        interval_jitter,
        interval_jitter_percent,
        unhealthy_threshold: unhealthy_threshold?.value,
        healthy_threshold: healthy_threshold?.value,
        no_traffic_interval,
        no_traffic_healthy_interval,
        unhealthy_interval,
        unhealthy_edge_interval: unhealthy_edge_interval.unwrap_or(unhealthy_interval),
        healthy_edge_interval: healthy_edge_interval.unwrap_or(interval),
        reuse_connection: value::bool_or(reuse_connection.as_ref(), true),
        alt_port,
        check: check?,
        events,
    })
}

/// The logs of `event_log_path` and of the sinks, opened.
fn event_files(
    path: &str,
    sinks: &[TypedExtensionConfig],
    parts: &SharedParts,
    errors: &mut Errors,
) -> Vec<Arc<LogFile>> {
    let mut paths = vec![("event_log_path".to_owned(), path.to_owned())];
    for (
        index,
        TypedExtensionConfig {
            name: _,
            typed_config,
        },
    ) in sinks.iter().enumerate()
    {
        let field = format!("event_logger[{index}].typed_config");
        let sink = typed_config.as_ref();
        let sink = sink.map_or_else(
            || Err(ConfigError::new("", "value is required")),
            any::unpack::<HealthCheckEventFileSink>,
        );
        if let Some(HealthCheckEventFileSink { event_log_path }) = errors.take(sink.within(&field))
        {
            paths.push((format!("{field}.event_log_path"), event_log_path));
        }
    }
    let open = |(field, path): (String, String)| {
        let logs = parts.logs.as_ref().filter(|_| !path.is_empty())?;
        errors.take(logs.open(&Destination::File(path.into())).within(&field))
    };
    paths.into_iter().filter_map(open).collect()
}

/// `custom_health_check`, which Envoy finds by the type of its configuration.
fn custom(message: CustomHealthCheck, errors: &mut Errors) -> Option<Check> {
    let CustomHealthCheck { name, config_type } = message;
    let Some(ConfigType::TypedConfig(config)) = config_type else {
        errors.refuse_value("name", &name);
        return None;
    };
    if any::is::<Redis>(&config) {
        let redis = any::unpack::<Redis>(&config).within("typed_config");
        let Redis { key, aws_iam } = errors.take(redis)?;
        errors.refuse_if(aws_iam.is_some(), "typed_config.aws_iam");
        return Some(Check::Redis(RedisCheck { key }));
    }
    if any::is::<UdpHealthCheck>(&config) {
        let udp = any::unpack::<UdpHealthCheck>(&config).within("typed_config");
        let UdpHealthCheck { send, receive } = errors.take(udp)?;
        return errors.nested("typed_config", |errors| {
            let mut read = |field: &str, payload: Option<Payload>| match payload {
                Some(payload) => bytes(field, payload, errors),
                None => Vec::new(),
            };
            Some(Check::Udp(UdpCheck {
                send: read("send", send),
                receive: read("receive", receive),
            }))
        });
    }
    errors.refuse_value("typed_config", any::type_of(&config));
    None
}

/// Envoy's default of `no_traffic_interval`.
const NO_TRAFFIC_INTERVAL: Duration = Duration::from_secs(60);

fn http(message: HttpHealthCheck, parts: &SharedParts, errors: &mut Errors) -> Option<HttpCheck> {
    let HttpHealthCheck {
        host,
        path,
        send,
        receive,
        response_buffer_size,
        request_headers_to_add,
        request_headers_to_remove,
        expected_statuses,
        retriable_statuses,
        codec_client_type,
        service_name_matcher,
        method,
    } = message;
    let service = service_name_matcher.and_then(|matcher| {
        let matcher = StringMatcher::from_config(&matcher).within("service_name_matcher");
        let percent = parts.runtime.integer("health_check.verify_cluster", 100);
        let service = ServiceName::new(errors.take(matcher)?, percent);
        Some(Arc::new(service))
    });
    let method = match method {
        0 | 1 => "GET",
        2 => "HEAD",
        3 => "POST",
        4 => "PUT",
        5 => "DELETE",
        7 => "OPTIONS",
        8 => "TRACE",
        9 => "PATCH",
        _ => {
            errors.push(ConfigError::new("method", "value must not be CONNECT"));
            return None;
        }
    };
    let body = match send {
        Some(payload) => bytes("send", payload, errors),
        None => Vec::new(),
    };
    if !body.is_empty() && !matches!(method, "POST" | "PUT" | "PATCH" | "OPTIONS") {
        errors.push(ConfigError::new(
            "send",
            format!(
                "HTTP health check cannot specify a request payload with method '{method}'. Only methods that support a request body (POST, PUT, PATCH, OPTIONS) can be used with payload."
            ),
        ));
    }
    let codec = match CodecClientType::try_from(codec_client_type) {
        Ok(CodecClientType::Http1) => HttpCodec::Http1,
        Ok(CodecClientType::Http2) => HttpCodec::Http2,
        Ok(CodecClientType::Http3) | Err(_) => {
            errors.refuse_value("codec_client_type", "HTTP3");
            return None;
        }
    };
    let mut headers: HeaderMap = [
        (":method", method),
        (":path", path.as_str()),
        (":scheme", "http"),
        ("user-agent", "Envoy/HC"),
    ]
    .into_iter()
    .collect();
    add_headers(
        "request_headers_to_add",
        request_headers_to_add,
        &mut headers,
        errors,
    );
    for name in request_headers_to_remove {
        headers.remove(name.to_ascii_lowercase().as_str());
    }
    if !body.is_empty() {
        headers.set(Known::ContentLength, body.len().to_string().as_bytes());
    }
    let expected = ranges("expected_statuses", &expected_statuses, errors);
    Some(HttpCheck {
        headers,
        host,
        body,
        receive: payloads("receive", receive, errors),
        response_buffer_size: match response_buffer_size.map(|size| size.value) {
            // Zero is "all of it", for which there is a limit here.
            Some(0) => MAX_RESPONSE,
            Some(size) => usize::try_from(size)
                .unwrap_or(MAX_RESPONSE)
                .min(MAX_RESPONSE),
            None => 1024,
        },
        expected: match expected.0.is_empty() {
            true => StatusRanges(vec![(200, 201)]),
            false => expected,
        },
        retriable: ranges("retriable_statuses", &retriable_statuses, errors),
        codec,
        service,
    })
}

/// Most bytes of an answer that are compared.
const MAX_RESPONSE: usize = 1024 * 1024;

fn tcp(message: TcpHealthCheck, errors: &mut Errors) -> Option<TcpCheck> {
    let TcpHealthCheck {
        send,
        receive,
        proxy_protocol_config,
    } = message;
    errors.refuse_if(proxy_protocol_config.is_some(), "proxy_protocol_config");
    Some(TcpCheck {
        send: match send {
            Some(payload) => bytes("send", payload, errors),
            None => Vec::new(),
        },
        receive: payloads("receive", receive, errors),
    })
}

fn grpc(message: GrpcHealthCheck, errors: &mut Errors) -> GrpcCheck {
    let GrpcHealthCheck {
        service_name,
        authority,
        initial_metadata,
    } = message;
    let mut metadata = HeaderMap::new();
    add_headers("initial_metadata", initial_metadata, &mut metadata, errors);
    GrpcCheck {
        service_name,
        authority,
        metadata,
    }
}

fn payloads(field: &str, messages: Vec<Payload>, errors: &mut Errors) -> Vec<Vec<u8>> {
    let messages = messages.into_iter().enumerate();
    messages
        .map(|(index, payload)| bytes(&format!("{field}[{index}]"), payload, errors))
        .collect()
}

fn bytes(field: &str, message: Payload, errors: &mut Errors) -> Vec<u8> {
    match message.payload {
        Some(payload::Payload::Text(text)) => hex(&text).unwrap_or_else(|| {
            errors.push(
                ConfigError::new(field, format!("invalid hex string '{text}'"))
                    .with_remedy("`text` holds pairs of hexadecimal digits"),
            );
            Vec::new()
        }),
        Some(payload::Payload::Binary(bytes)) => bytes,
        None => Vec::new(),
    }
}

fn ranges(field: &str, messages: &[Int64Range], errors: &mut Errors) -> StatusRanges {
    let kind = match field {
        "expected_statuses" => "expected",
        _ => "retriable",
    };
    let mut ranges = Vec::new();
    for (index, Int64Range { start, end }) in messages.iter().enumerate() {
        let wrong = if start >= end {
            Some(format!(
                "Invalid http {kind} status range: expecting start < end, but found start={start} and end={end}"
            ))
        } else if *start < 100 {
            Some(format!(
                "Invalid http {kind} status range: expecting start >= 100, but found start={start}"
            ))
        } else if *end > 600 {
            Some(format!(
                "Invalid http {kind} status range: expecting end <= 600, but found end={end}"
            ))
        } else {
            None
        };
        match wrong {
            Some(wrong) => errors.push(ConfigError::new(format!("{field}[{index}]"), wrong)),
            None => ranges.push((*start as u16, *end as u16)),
        }
    }
    StatusRanges(ranges)
}

fn add_headers(
    field: &str,
    messages: Vec<HeaderValueOption>,
    headers: &mut HeaderMap,
    errors: &mut Errors,
) {
    for (index, message) in messages.into_iter().enumerate() {
        errors.nested(&format!("{field}[{index}]"), |errors| {
            add_header(message, headers, errors);
        });
    }
}

#[expect(
    deprecated,
    reason = "deprecated fields are still read, as Envoy reads them"
)]
fn add_header(message: HeaderValueOption, headers: &mut HeaderMap, errors: &mut Errors) {
    let HeaderValueOption {
        header,
        append,
        append_action,
        keep_empty_value,
    } = message;
    let Some(header) = header else {
        return errors.push(ConfigError::new("header", "value is required"));
    };
    let value = match header.raw_value.is_empty() {
        true => header.value.into_bytes(),
        false => header.raw_value,
    };
    // `%%` is a percent sign; everything else between two of them is a command.
    let text = String::from_utf8_lossy(&value).replace("%%", "\u{0}");
    if text.contains('%') {
        return errors.push(ConfigError::new(
            "header.value",
            "unsupported: commands in headers of health checks are not implemented",
        ));
    }
    let value = text.replace('\u{0}', "%");
    if value.is_empty() && !keep_empty_value {
        return;
    }
    let name = header.key.to_ascii_lowercase();
    if name.starts_with(':') || name == "host" {
        return errors.push(ConfigError::new(
            "header.key",
            ":-prefixed or host headers may not be modified",
        ));
    }
    let (name, value) = (name.as_str(), value.as_bytes());
    let overwrite = append.is_some_and(|append| !append.value);
    match HeaderAppendAction::try_from(append_action) {
        _ if overwrite => headers.set(name, value),
        Ok(HeaderAppendAction::AppendIfExistsOrAdd) => headers.append(name, value),
        Ok(HeaderAppendAction::AddIfAbsent) if headers.contains(name) => {}
        Ok(HeaderAppendAction::AddIfAbsent) => headers.append(name, value),
        Ok(HeaderAppendAction::OverwriteIfExistsOrAdd) => headers.set(name, value),
        Ok(HeaderAppendAction::OverwriteIfExists) if headers.contains(name) => {
            headers.set(name, value);
        }
        Ok(HeaderAppendAction::OverwriteIfExists) => {}
        Err(_) => errors.push(ConfigError::new(
            "append_action",
            format!("unknown enum value {append_action}"),
        )),
    }
}
