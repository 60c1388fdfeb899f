//! What is asked: each kind of check.

use std::sync::Arc;

use nuncio_config::api::core::{
    HeaderValueOption,
    health_check::{
        CustomHealthCheck, GrpcHealthCheck, HttpHealthCheck, Payload, TcpHealthCheck,
        custom_health_check::ConfigType, payload,
    },
    proxy_protocol_config,
};
use nuncio_config::api::redis_health_check::Redis;
use nuncio_config::api::types::{CodecClientType, Int64Range};
use nuncio_config::api::udp_health_check::UdpHealthCheck;
use nuncio_config::{ConfigError, Within, any};
use nuncio_http::{HeaderMap, Known};
use nuncio_route::HeaderMutations;
use nuncio_route::matchers::StringMatcher;

use super::{Errors, SharedParts};
use crate::health::{
    Check, GrpcCheck, HttpCheck, HttpCodec, ProxyProtocol, RedisCheck, ServiceName, StatusRanges,
    TcpCheck, UdpCheck, hex,
};

pub(super) fn http(
    message: HttpHealthCheck,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Option<HttpCheck> {
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
    let has_payload = send.is_some();
    let body = match send {
        Some(payload) => bytes("send", payload, errors),
        None => Vec::new(),
    };
    if has_payload && !matches!(method, "POST" | "PUT" | "PATCH" | "OPTIONS") {
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
    let mut changes = changes(
        ("request_headers_to_add", &request_headers_to_add),
        ("request_headers_to_remove", &request_headers_to_remove),
        errors,
    );
    if let Some(constant) = changes.take_if(|changes| changes.is_constant()) {
        constant.apply_constants(&mut headers);
    }
    if !body.is_empty() {
        headers.set(Known::ContentLength, body.len().to_string().as_bytes());
    }
    let expected = ranges("expected_statuses", &expected_statuses, errors);
    let receive = payloads("receive", receive, errors);
    let buffer = response_buffer_size.map_or(1024, |size| size.value);
    let length: usize = receive.iter().map(Vec::len).sum();
    if buffer > 0 && length as u64 > buffer {
        errors.push(ConfigError::new(
            "receive",
            format!(
                "The expected response length '{length}' is over than http health response buffer size '{buffer}'"
            ),
        ));
    }
    Some(HttpCheck {
        headers,
        changes: changes.map(Arc::new),
        host,
        body,
        receive,
        response_buffer_size: match buffer {
            // Zero is "all of it", for which there is a limit here.
            0 => MAX_RESPONSE,
            size => usize::try_from(size)
                .unwrap_or(MAX_RESPONSE)
                .min(MAX_RESPONSE),
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

pub(super) fn tcp(message: TcpHealthCheck, errors: &mut Errors) -> Option<TcpCheck> {
    let TcpHealthCheck {
        send,
        receive,
        proxy_protocol_config,
    } = message;
    let proxy_protocol = proxy_protocol_config.map(|config| match config.version() {
        proxy_protocol_config::Version::V1 => ProxyProtocol::V1,
        proxy_protocol_config::Version::V2 => ProxyProtocol::V2,
    });
    Some(TcpCheck {
        proxy_protocol,
        send: match send {
            Some(payload) => bytes("send", payload, errors),
            None => Vec::new(),
        },
        receive: payloads("receive", receive, errors),
    })
}

pub(super) fn grpc(message: GrpcHealthCheck, errors: &mut Errors) -> GrpcCheck {
    let GrpcHealthCheck {
        service_name,
        authority,
        initial_metadata,
    } = message;
    let added = ("initial_metadata", initial_metadata.as_slice());
    let metadata = changes(added, ("", &[]), errors).map(Arc::new);
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

/// What adds and removes headers, each with the name of its field; `None` if nothing does.
fn changes(
    (add_field, add): (&str, &[HeaderValueOption]),
    (remove_field, remove): (&str, &[String]),
    errors: &mut Errors,
) -> Option<HeaderMutations> {
    match HeaderMutations::from_config(add, add_field, remove, remove_field) {
        Ok(mutations) => (!mutations.is_empty()).then_some(mutations),
        Err(wrong) => {
            wrong.into_iter().for_each(|error| errors.push(error));
            None
        }
    }
}

/// `custom_health_check`, which Envoy finds by the type of its configuration.
pub(super) fn custom(message: CustomHealthCheck, errors: &mut Errors) -> Option<Check> {
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
