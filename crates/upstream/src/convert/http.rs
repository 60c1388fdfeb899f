//! HTTP protocol options.

use std::collections::HashMap;
use std::sync::Arc;

use nuncio_config::api::core::{
    Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions as CommonOptions,
};
use nuncio_config::api::http_protocol_options::{
    HttpProtocolOptions as TypedOptions,
    http_protocol_options::{
        ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
        explicit_http_config::ProtocolConfig,
    },
};
use nuncio_config::api::protobuf::{Any, UInt32Value};
use nuncio_config::{ConfigError, Within, any, convert as value};
use nuncio_http::h1::H1Settings;
use nuncio_http::h2::H2Settings;
use nuncio_sdk::Http2Options;
use nuncio_sdk::http1::header_case;
use nuncio_sdk::runtime::Runtime;

use super::Errors;
use crate::info::{DEFAULT_IDLE_TIMEOUT, HttpOptions, UpstreamProtocol};

/// Under which key Envoy looks for the typed options.
const TYPED_KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The typed options, and the deprecated fields that they replace.
pub(super) struct Fields<'a> {
    pub(super) typed: HashMap<String, Any>,
    pub(super) common: Option<CommonOptions>,
    pub(super) http1: Option<Http1ProtocolOptions>,
    pub(super) http2: Option<Http2ProtocolOptions>,
    /// `protocol_selection: USE_DOWNSTREAM_PROTOCOL`
    pub(super) use_downstream_protocol: bool,
    pub(super) max_requests_per_connection: Option<UInt32Value>,
    pub(super) runtime: &'a Runtime,
}

/// The options in the making.
struct Draft {
    options: HttpOptions,
    h1: H1Settings,
    h2: H2Settings,
}

/// The options; `None` when nothing was said.
pub(super) fn options(fields: Fields<'_>, errors: &mut Errors) -> Option<Arc<HttpOptions>> {
    let Fields {
        mut typed,
        common,
        http1,
        http2,
        use_downstream_protocol,
        max_requests_per_connection,
        runtime,
    } = fields;
    let message = typed.remove(TYPED_KEY);
    for key in typed.keys() {
        let path = format!("typed_extension_protocol_options[{key:?}]");
        errors.push(ConfigError::new(
            path,
            "unsupported: these protocol options are not implemented",
        ));
    }
    let old = common.is_some() || http1.is_some() || http2.is_some() || use_downstream_protocol;
    if message.is_none() && !old && max_requests_per_connection.is_none() {
        return None;
    }
    let mut draft = Draft {
        options: HttpOptions::default(),
        h1: H1Settings::upstream(),
        h2: H2Settings::upstream(),
    };
    if let Some(message) = message {
        if old {
            log::warn!(
                target: "config",
                "deprecated protocol options of a cluster have no effect beside its typed_extension_protocol_options"
            );
        }
        let path = format!("typed_extension_protocol_options[{TYPED_KEY:?}]");
        errors.nested(&path, |errors| {
            if let Some(message) = errors.take(any::unpack::<TypedOptions>(&message)) {
                typed_options(message, &mut draft, errors);
            }
        });
    } else {
        if let Some(common) = common {
            errors.nested("common_http_protocol_options", |errors| {
                common_options(&common, &mut draft, errors);
            });
        }
        if http1.is_some() && http2.is_some() && !use_downstream_protocol {
            errors.push(ConfigError::new(
                "http2_protocol_options",
                "cluster: Both HTTP1 and HTTP2 options may only be configured with non-default 'protocol_selection' values",
            ));
        }
        draft.options.protocol = match http2 {
            _ if use_downstream_protocol => None,
            Some(_) => Some(UpstreamProtocol::Http2),
            None => Some(UpstreamProtocol::Http1),
        };
        both_protocols(http1, http2, &mut draft, errors);
    }
    if let Some(max) = max_requests_per_connection {
        if draft.options.max_requests_per_connection.is_some() {
            errors.push(ConfigError::new(
                "max_requests_per_connection",
                "Only one of max_requests_per_connection from Cluster or HttpProtocolOptions can be specified",
            ));
        }
        draft.options.max_requests_per_connection = limit(&max);
    }
    Some(Arc::new(HttpOptions {
        use_http2: runtime.integer("upstream.use_http2", 100),
        h1: Arc::new(draft.h1),
        h2: Arc::new(draft.h2),
        ..draft.options
    }))
}

/// The options of the protocols; absent ones are Envoy's defaults.
fn both_protocols(
    http1: Option<Http1ProtocolOptions>,
    http2: Option<Http2ProtocolOptions>,
    draft: &mut Draft,
    errors: &mut Errors,
) {
    if let Some(http1) = http1 {
        errors.nested("http_protocol_options", |errors| {
            http1_options(http1, &mut draft.h1, errors)
        });
    }
    if let Some(http2) = http2 {
        draft.options.has_http2 = true;
        let read = http2_options(&http2, draft).within("http2_protocol_options");
        errors.take(read);
    }
}

/// Zero is "no limit", as in Envoy.
fn limit(value: &UInt32Value) -> Option<u32> {
    Some(value.value).filter(|max| *max > 0)
}

fn typed_options(message: TypedOptions, draft: &mut Draft, errors: &mut Errors) {
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
            common_options(&common, draft, errors);
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
                    both_protocols(Some(http1), None, draft, errors);
                }
                Some(ProtocolConfig::Http2ProtocolOptions(http2)) => {
                    draft.options.protocol = Some(UpstreamProtocol::Http2);
                    both_protocols(None, Some(http2), draft, errors);
                }
                Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                    errors.refuse_if(true, "http3_protocol_options");
                }
            });
        }
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
            http_protocol_options,
            http2_protocol_options,
            http3_protocol_options,
        })) => errors.nested("use_downstream_protocol_config", |errors| {
            errors.refuse_if(http3_protocol_options.is_some(), "http3_protocol_options");
            draft.options.protocol = None;
            both_protocols(http_protocol_options, http2_protocol_options, draft, errors);
        }),
        // As Envoy, as long as there is no transport socket that agrees on a protocol.
        Some(UpstreamProtocolOptions::AutoConfig(_)) => errors.push(ConfigError::new(
            "auto_config",
            "ALPN configured for a cluster which has a non-ALPN transport socket",
        )),
    }
}

fn common_options(message: &CommonOptions, draft: &mut Draft, errors: &mut Errors) {
    let Draft { options, h1, h2 } = draft;
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
    // Unlike in Envoy 1.40, which takes no notice of it upstream.
    options.max_connection_duration_jitter =
        max_connection_duration_jitter.map_or(0.0, |percent| percent.value / 100.0);
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
        h2.max_headers = h1.max_headers;
    }
    if let Some(kib) = max_response_headers_kb {
        h1.max_head_bytes = kib.value as usize * 1024;
        h2.max_header_bytes = h1.max_head_bytes;
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

fn http2_options(message: &Http2ProtocolOptions, draft: &mut Draft) -> Result<(), ConfigError> {
    let limit = draft.h2.max_header_bytes;
    // Upstream, Envoy does not compare `max_header_field_size_kb` with the limit of all headers.
    let base = H2Settings {
        max_header_bytes: usize::MAX,
        ..draft.h2.clone()
    };
    let Http2Options {
        settings,
        keepalive,
    } = Http2Options::new(Some(message), base)?;
    draft.h2 = H2Settings {
        max_header_bytes: limit,
        ..settings
    };
    draft.options.keepalive = keepalive;
    Ok(())
}
