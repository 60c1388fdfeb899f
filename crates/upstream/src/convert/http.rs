//! HTTP protocol options.

use std::collections::HashMap;
use std::sync::Arc;

use nuncio_config::api::core::{Http1ProtocolOptions, HttpProtocolOptions as CommonOptions};
use nuncio_config::api::http_protocol_options::{
    HttpProtocolOptions as TypedOptions,
    http_protocol_options::{
        ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
    },
};
use nuncio_config::api::protobuf::{Any, UInt32Value};
use nuncio_config::{ConfigError, Within, any, convert as value};
use nuncio_http::h1::H1Settings;
use nuncio_sdk::http1::header_case;

use super::SharedParts;
use super::util::Errors;
use crate::info::{DEFAULT_IDLE_TIMEOUT, HttpOptions};

/// Under which key Envoy looks for the typed options.
const TYPED_KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The typed options, and the deprecated fields that they replace.
pub(super) struct Fields {
    pub(super) typed: HashMap<String, Any>,
    pub(super) common: Option<CommonOptions>,
    pub(super) http1: Option<Http1ProtocolOptions>,
    pub(super) max_requests_per_connection: Option<UInt32Value>,
}

/// The options; `None` when nothing was said, or on an error.
pub(super) fn options(
    fields: Fields,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Option<Arc<HttpOptions>> {
    let Fields {
        mut typed,
        common,
        http1,
        max_requests_per_connection,
    } = fields;
    let message = typed.remove(TYPED_KEY);
    for key in typed.keys() {
        let path = format!("typed_extension_protocol_options[{key:?}]");
        errors.push(ConfigError::new(
            path,
            "unsupported: these protocol options are not implemented",
        ));
    }
    let old = common.is_some() || http1.is_some() || max_requests_per_connection.is_some();
    if message.is_none() && !old {
        return None;
    }
    let mut options = HttpOptions::default();
    let mut h1 = H1Settings::upstream();
    if let Some(message) = message {
        if old {
            errors.push(ConfigError::new(
                "typed_extension_protocol_options",
                "deprecated protocol options beside typed ones would have no effect",
            ));
        }
        let path = format!("typed_extension_protocol_options[{TYPED_KEY:?}]");
        errors.nested(&path, |errors| {
            if let Some(message) = errors.take(any::unpack::<TypedOptions>(&message)) {
                typed_options(message, &mut options, &mut h1, errors);
            }
        });
    } else {
        if let Some(common) = common {
            errors.nested("common_http_protocol_options", |errors| {
                common_options(&common, &mut options, &mut h1, errors);
            });
        }
        if let Some(http1) = http1 {
            errors.nested("http_protocol_options", |errors| {
                http1_options(http1, &mut h1, errors)
            });
        }
        if let Some(max) = max_requests_per_connection {
            options.max_requests_per_connection = limit(&max);
        }
    }
    options.h1 = Arc::new(h1);
    let _ = parts;
    Some(Arc::new(options))
}

/// Zero is "no limit", as in Envoy.
fn limit(value: &UInt32Value) -> Option<u32> {
    Some(value.value).filter(|max| *max > 0)
}

fn typed_options(
    message: TypedOptions,
    options: &mut HttpOptions,
    h1: &mut H1Settings,
    errors: &mut Errors,
) {
    let TypedOptions {
        common_http_protocol_options,
        upstream_http_protocol_options,
        http_filters,
        header_validation_config,
        outlier_detection,
        request_mirror_policies,
        hash_policy,
        retry_policy,
        upstream_protocol_options,
    } = message;
    for (set, field) in [
        (
            upstream_http_protocol_options.is_some(),
            "upstream_http_protocol_options",
        ),
        (!http_filters.is_empty(), "http_filters"),
        (
            header_validation_config.is_some(),
            "header_validation_config",
        ),
        (outlier_detection.is_some(), "outlier_detection"),
        (
            !request_mirror_policies.is_empty(),
            "request_mirror_policies",
        ),
        (!hash_policy.is_empty(), "hash_policy"),
        (retry_policy.is_some(), "retry_policy"),
    ] {
        errors.refuse_if(set, field);
    }
    if let Some(common) = common_http_protocol_options {
        errors.nested("common_http_protocol_options", |errors| {
            common_options(&common, options, h1, errors);
        });
    }
    match upstream_protocol_options {
        None => errors.push(ConfigError::new(
            "upstream_protocol_options",
            "value is required",
        )),
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config,
        })) => {
            errors.nested("explicit_http_config", |errors| match protocol_config {
                None => errors.push(ConfigError::new("protocol_config", "value is required")),
                Some(ProtocolConfig::HttpProtocolOptions(http1)) => {
                    errors.nested("http_protocol_options", |errors| {
                        http1_options(http1, h1, errors)
                    });
                }
                Some(ProtocolConfig::Http2ProtocolOptions(_)) => {
                    errors.refuse_if(true, "http2_protocol_options");
                }
                Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                    errors.refuse_if(true, "http3_protocol_options");
                }
            });
        }
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(_)) => {
            errors.refuse_if(true, "use_downstream_protocol_config");
        }
        Some(UpstreamProtocolOptions::AutoConfig(_)) => errors.refuse_if(true, "auto_config"),
    }
}

fn common_options(
    message: &CommonOptions,
    options: &mut HttpOptions,
    h1: &mut H1Settings,
    errors: &mut Errors,
) {
    let CommonOptions {
        idle_timeout,
        max_connection_duration,
        max_connection_duration_jitter,
        max_headers_count,
        max_response_headers_kb,
        max_stream_duration,
        // Harmless: about requests, which arrive downstream.
        headers_with_underscores_action: _,
        max_requests_per_connection,
    } = message;
    errors.refuse_if(
        max_connection_duration_jitter.is_some(),
        "max_connection_duration_jitter",
    );
    if let Some(timeout) = errors.take(
        value::timeout(idle_timeout.as_ref(), Some(DEFAULT_IDLE_TIMEOUT)).within("idle_timeout"),
    ) {
        options.idle_timeout = timeout;
    }
    options.max_connection_duration = errors
        .take(
            value::timeout(max_connection_duration.as_ref(), None)
                .within("max_connection_duration"),
        )
        .flatten();
    options.max_stream_duration = errors
        .take(value::timeout(max_stream_duration.as_ref(), None).within("max_stream_duration"))
        .flatten();
    if let Some(count) = max_headers_count {
        h1.max_headers = count.value as usize;
    }
    if let Some(kib) = max_response_headers_kb {
        h1.max_head_bytes = kib.value as usize * 1024;
    }
    options.max_requests_per_connection = max_requests_per_connection.as_ref().and_then(limit);
}

fn http1_options(message: Http1ProtocolOptions, h1: &mut H1Settings, errors: &mut Errors) {
    #[expect(deprecated, reason = "every field is looked at")]
    let Http1ProtocolOptions {
        // Harmless: these are about requests, which arrive downstream.
        allow_absolute_url: _,
        accept_http_10: _,
        default_host_for_http_10: _,
        header_key_format,
        enable_trailers,
        allow_chunked_length,
        // Harmless: only a downstream codec can keep a connection after a broken message.
        override_stream_error_on_invalid_http_message: _,
        send_fully_qualified_url,
        use_balsa_parser,
        allow_custom_methods,
        ignore_http_11_upgrade,
    } = message;
    errors.refuse_if(!ignore_http_11_upgrade.is_empty(), "ignore_http_11_upgrade");
    // There is one parser, which behaves as Balsa does.
    errors.refuse_if(
        use_balsa_parser.is_some_and(|balsa| !balsa.value),
        "use_balsa_parser",
    );
    h1.enable_trailers = enable_trailers;
    h1.allow_chunked_length = allow_chunked_length;
    h1.send_fully_qualified_url = send_fully_qualified_url;
    h1.allow_custom_methods = allow_custom_methods;
    if let Some(format) = header_key_format {
        let case = errors.take(header_case(&format).within("header_key_format"));
        if let Some(case) = case {
            h1.header_case = case;
        }
    }
}
