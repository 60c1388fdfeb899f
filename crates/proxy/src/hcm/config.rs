//! `HttpConnectionManager` → [`HcmConfig`].

mod chain;
mod client_address;
mod forward_proto;
mod http1;
mod no_filters;
mod timeouts;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nuncio_access_log::create_loggers;
use nuncio_config::api::access_log::AccessLog;
use nuncio_config::api::core;
use nuncio_config::api::early_header_mutation::HeaderMutation;
use nuncio_config::api::hcm::HttpConnectionManager;
use nuncio_config::api::hcm::http_connection_manager as proto;
use nuncio_config::api::hcm::http_connection_manager::RouteSpecifier as proto_routes;
use nuncio_config::api::uuid_request_id::UuidRequestIdConfig;
use nuncio_config::{ConfigError, Within, any, convert};
use nuncio_http::h1::H1Settings;
use nuncio_http::h2::H2Settings;
use nuncio_net::IpRange;
use nuncio_route::{CompileContext, HeaderChanges, RouteTable};
use nuncio_sdk::{AccessLogger, FactoryContext, Http2Options, Http2Stats, Keepalive};
use nuncio_stats::Group;
use nuncio_upstream::ClusterManager;

use chain::chain;
pub(crate) use chain::{FilterChain, Upgrade};
use client_address::{internal_addresses, original_ip};
pub(crate) use forward_proto::ForwardProto;
use http1::h1_settings;
pub(crate) use timeouts::Timeouts;

use super::local_reply::LocalReplyConfig;
use super::original_ip::Detector;
use super::path::{EscapedSlashes, PathRules};
use super::proxy_status::ProxyStatus;
use super::request_id::RequestIds;
use super::stats::{CodecStats, HttpStats, ListenerHttpStats};

/// `codec_type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodecType {
    /// As the first bytes of a connection say.
    Auto,
    Http1,
    Http2,
}

/// `server_header_transformation`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerHeader {
    Overwrite,
    AppendIfAbsent,
    PassThrough,
}

/// `forward_client_cert_details`, as far as it matters without client certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForwardClientCert {
    Remove,
    AlwaysForwardOnly,
}

/// A validated connection manager, shared by all workers.
pub(crate) struct HcmConfig {
    pub(crate) codec: CodecType,
    pub(crate) h1: Arc<H1Settings>,
    pub(crate) h2: Arc<H2Settings>,
    pub(crate) h2_keepalive: Option<Keepalive>,
    pub(crate) chain: Arc<FilterChain>,
    pub(crate) upgrades: Vec<Upgrade>,
    pub(crate) routes: Arc<RouteTable>,
    pub(crate) access_logs: Vec<Arc<dyn AccessLogger>>,
    pub(crate) log_on_new_request: bool,
    /// `flush_log_on_tunnel_successfully_established`
    pub(crate) log_tunnels: bool,
    pub(crate) log_interval: Option<Duration>,
    pub(crate) local_reply: LocalReplyConfig,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_requests_per_connection: Option<u32>,
    pub(crate) safe_max_connection_duration: bool,
    pub(crate) server_name: Box<str>,
    pub(crate) server_header: ServerHeader,
    pub(crate) scheme_to_set: Option<Box<str>>,
    /// `match_upstream`: `:scheme` is that of the upstream's transport, unless there is one to set.
    pub(crate) scheme_matches_upstream: bool,
    pub(crate) via: Box<str>,
    pub(crate) use_remote_address: bool,
    pub(crate) xff_num_trusted_hops: u32,
    pub(crate) skip_xff_append: bool,
    /// Instead of `x-forwarded-for` and `xff_num_trusted_hops`, without `use_remote_address`.
    pub(crate) original_ip: Vec<Detector>,
    /// `early_header_mutation_extensions`
    pub(crate) early_changes: Vec<HeaderChanges>,
    pub(crate) proxy_status: Option<ProxyStatus>,
    pub(crate) internal_addresses: Vec<IpRange>,
    pub(crate) internal_unix_sockets: bool,
    pub(crate) append_x_forwarded_port: bool,
    pub(crate) forward_proto: Option<ForwardProto>,
    pub(crate) ipv4_as_mapped_ipv6: bool,
    pub(crate) forward_client_cert: ForwardClientCert,
    /// Absent: requests get no ids.
    pub(crate) request_ids: Option<RequestIds>,
    pub(crate) always_set_request_id_in_response: bool,
    /// `add_user_agent`: the service cluster.
    pub(crate) user_agent: Option<Box<str>>,
    pub(crate) node_id: Box<str>,
    /// What a loopback peer is called in `x-forwarded-for`.
    pub(crate) local_address: Option<IpAddr>,
    pub(crate) proxy_100_continue: bool,
    /// `stream_error_on_invalid_http_message`: a bad request does not end its connection.
    pub(crate) keep_on_bad_request: bool,
    pub(crate) path: PathRules,
    pub(crate) stats: Arc<Group>,
    pub(crate) listener_stats: Option<Arc<Group>>,
    pub(crate) codec_stats: Arc<Group>,
    pub(crate) http2_stats: Arc<Group>,
}

impl HcmConfig {
    /// Validates and compiles.
    ///
    /// # Errors
    /// All that is wrong.
    pub(crate) fn new(
        config: HttpConnectionManager,
        cx: &FactoryContext<'_>,
    ) -> Result<HcmConfig, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let prefix = format!("http.{}.", config.stat_prefix);
        let inner = FactoryContext {
            stat_prefix: &prefix,
            ..*cx
        };
        let common = config.common_http_protocol_options.unwrap_or_default();

        let chain = keep(
            &mut errors,
            chain(&config.http_filters, "http_filters", &inner),
        );
        let upgrades = keep(
            &mut errors,
            chain::upgrades(&config.upgrade_configs, &inner),
        );
        let routes = keep(&mut errors, routes(&config, &inner));
        let access_logs = keep(&mut errors, access_logs(&config.access_log, &inner));
        let local_reply = keep(
            &mut errors,
            LocalReplyConfig::new(config.local_reply_config.as_ref(), &inner),
        );
        let timeouts = keep_one(&mut errors, timeouts::timeouts(&config, &common));
        let h1 = keep_one(&mut errors, h1_settings(&config, &common));
        let h2 = h1
            .as_ref()
            .and_then(|h1| keep_one(&mut errors, h2_options(&config, h1)));
        let scheme_to_set = keep_one(&mut errors, scheme(&config));
        let internal_addresses = keep_one(&mut errors, internal_addresses(&config));
        let request_ids = keep_one(&mut errors, request_ids(&config));
        let original_ip = keep_one(&mut errors, original_ip(&config));
        let early_changes = keep_one(&mut errors, early_changes(&config));
        let log_options = keep_one(&mut errors, log_options(&config));
        let log_interval = log_options.as_ref().and_then(|options| {
            let interval = convert::opt_duration(options.access_log_flush_interval.as_ref());
            let place = "access_log_options.access_log_flush_interval";
            keep_one(&mut errors, interval.within(place))
        });
        let log_tunnels = log_options
            .as_ref()
            .is_some_and(|options| options.flush_log_on_tunnel_successfully_established);
        let log_on_new_request =
            log_options.is_some_and(|options| options.flush_access_log_on_new_request);
        let (
            Some(chain),
            Some(upgrades),
            Some(routes),
            Some(access_logs),
            Some(local_reply),
            Some(timeouts),
            Some(h1),
            Some(h2),
            Some(scheme_to_set),
            Some(internal_addresses),
            Some(request_ids),
            Some(original_ip),
            Some(early_changes),
            Some(log_interval),
        ) = (
            chain,
            upgrades,
            routes,
            access_logs,
            local_reply,
            timeouts,
            h1,
            h2,
            scheme_to_set,
            internal_addresses,
            request_ids,
            original_ip,
            early_changes,
            log_interval,
        )
        else {
            return Err(errors);
        };

        let server = cx.server;
        let of_http1 = config.http_protocol_options.as_ref();
        let of_http1 = of_http1.and_then(|options| {
            options
                .override_stream_error_on_invalid_http_message
                .as_ref()
        });
        let of_all = config.stream_error_on_invalid_http_message.as_ref();
        let keep_on_bad_request = convert::bool_or(of_http1.or(of_all), false);
        let server_name = or_default(config.server_name.clone(), "envoy");
        let proxy_status = config
            .proxy_status_config
            .as_ref()
            .map(|config| ProxyStatus::new(config, &server_name, &server.local_info.node_id));
        Ok(HcmConfig {
            codec: match config.codec_type() {
                proto::CodecType::Http1 => CodecType::Http1,
                proto::CodecType::Http2 => CodecType::Http2,
                proto::CodecType::Auto | proto::CodecType::Http3 => CodecType::Auto,
            },
            h1: Arc::new(h1),
            h2: Arc::new(h2.settings),
            h2_keepalive: h2.keepalive,
            chain: Arc::new(chain),
            upgrades,
            routes,
            access_logs,
            log_on_new_request,
            log_tunnels,
            log_interval,
            local_reply,
            timeouts,
            max_requests_per_connection: common
                .max_requests_per_connection
                .map(|max| max.value)
                .filter(|&max| max > 0),
            safe_max_connection_duration: config.http1_safe_max_connection_duration,
            server_name,
            server_header: match proto::ServerHeaderTransformation::try_from(
                config.server_header_transformation,
            ) {
                Ok(proto::ServerHeaderTransformation::AppendIfAbsent) => {
                    ServerHeader::AppendIfAbsent
                }
                Ok(proto::ServerHeaderTransformation::PassThrough) => ServerHeader::PassThrough,
                Ok(proto::ServerHeaderTransformation::Overwrite) | Err(_) => {
                    ServerHeader::Overwrite
                }
            },
            scheme_to_set,
            scheme_matches_upstream: config
                .scheme_header_transformation
                .is_some_and(|scheme| scheme.match_upstream && scheme.transformation.is_none()),
            via: config.via.into(),
            use_remote_address: convert::bool_or(config.use_remote_address.as_ref(), false),
            xff_num_trusted_hops: config.xff_num_trusted_hops,
            skip_xff_append: config.skip_xff_append,
            original_ip,
            early_changes,
            proxy_status,
            internal_addresses,
            internal_unix_sockets: config
                .internal_address_config
                .as_ref()
                .is_some_and(|internal| internal.unix_sockets),
            append_x_forwarded_port: config.append_x_forwarded_port,
            forward_proto: config.forward_proto_config.map(ForwardProto::new),
            ipv4_as_mapped_ipv6: config.represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
            forward_client_cert: match proto::ForwardClientCertDetails::try_from(
                config.forward_client_cert_details,
            ) {
                Ok(proto::ForwardClientCertDetails::AlwaysForwardOnly) => {
                    ForwardClientCert::AlwaysForwardOnly
                }
                _ => ForwardClientCert::Remove,
            },
            request_ids,
            always_set_request_id_in_response: config.always_set_request_id_in_response,
            user_agent: convert::bool_or(config.add_user_agent.as_ref(), false)
                .then(|| server.local_info.cluster.as_str().into()),
            node_id: server.local_info.node_id.as_str().into(),
            local_address: server.local_info.address,
            proxy_100_continue: config.proxy_100_continue,
            keep_on_bad_request,
            path: PathRules {
                normalize: convert::bool_or(config.normalize_path.as_ref(), false),
                merge_slashes: config.merge_slashes,
                escaped_slashes: EscapedSlashes::from_proto(
                    config.path_with_escaped_slashes_action,
                ),
                strip_any_host_port: matches!(
                    config.strip_port_mode,
                    Some(proto::StripPortMode::StripAnyHostPort(true))
                ),
                strip_matching_host_port: config.strip_matching_host_port,
                strip_trailing_host_dot: config.strip_trailing_host_dot,
            },
            stats: server.stats.group(prefix.as_str(), HttpStats::SCHEMA),
            codec_stats: server.stats.group("http1.", CodecStats::SCHEMA),
            http2_stats: server.stats.group("http2.", Http2Stats::SCHEMA),
            listener_stats: (!cx.stat_prefix.is_empty()).then(|| {
                server.stats.group(
                    format!("{}{prefix}", cx.stat_prefix),
                    ListenerHttpStats::SCHEMA,
                )
            }),
        })
    }
}

fn keep<T>(errors: &mut Vec<ConfigError>, result: Result<T, Vec<ConfigError>>) -> Option<T> {
    result.map_err(|mut found| errors.append(&mut found)).ok()
}

fn keep_one<T>(errors: &mut Vec<ConfigError>, result: Result<T, ConfigError>) -> Option<T> {
    result.map_err(|found| errors.push(found)).ok()
}

/// The limits of HTTP/2 messages are those of HTTP/1.
fn h2_options(
    config: &HttpConnectionManager,
    h1: &H1Settings,
) -> Result<Http2Options, ConfigError> {
    let of_all = config.stream_error_on_invalid_http_message.as_ref();
    let settings = H2Settings {
        max_header_bytes: h1.max_head_bytes,
        max_headers: h1.max_headers,
        underscores: h1.underscores,
        stream_error_on_invalid_messages: convert::bool_or(of_all, false),
        ..H2Settings::default()
    };
    Http2Options::new(config.http2_protocol_options.as_ref(), settings)
        .within("http2_protocol_options")
}

fn or_default(text: String, default: &str) -> Box<str> {
    if text.is_empty() {
        default.into()
    } else {
        text.into()
    }
}

fn access_logs(
    configs: &[AccessLog],
    cx: &FactoryContext<'_>,
) -> Result<Vec<Arc<dyn AccessLogger>>, Vec<ConfigError>> {
    create_loggers(configs, cx).map_err(|errors| {
        errors
            .into_iter()
            .map(|error| error.within("access_log"))
            .collect()
    })
}

fn routes(
    config: &HttpConnectionManager,
    cx: &FactoryContext<'_>,
) -> Result<Arc<RouteTable>, Vec<ConfigError>> {
    match &config.route_specifier {
        Some(proto_routes::RouteConfig(routes)) => {
            let clusters = cx.server.service::<ClusterManager>();
            let known_cluster = |name: &str| clusters.has_cluster(name);
            let cx = CompileContext {
                factory: cx,
                known_cluster: &known_cluster,
                validate_clusters: true,
            };
            nuncio_route::compile(routes, cx).map_err(|errors| {
                errors
                    .into_iter()
                    .map(|error| error.within("route_config"))
                    .collect()
            })
        }
        Some(proto_routes::Rds(_)) => Err(vec![ConfigError::new(
            "rds",
            "routes by xDS are not supported yet",
        )]),
        Some(proto_routes::ScopedRoutes(_)) => Err(vec![ConfigError::new(
            "scoped_routes",
            "routes by xDS are not supported yet",
        )]),
        None => Err(vec![ConfigError::new(
            "route_specifier",
            "is required: set route_config",
        )]),
    }
}

fn scheme(config: &HttpConnectionManager) -> Result<Option<Box<str>>, ConfigError> {
    use core::scheme_header_transformation::Transformation;
    let Some(scheme) = &config.scheme_header_transformation else {
        return Ok(None);
    };
    Ok(scheme
        .transformation
        .as_ref()
        .map(|transformation| match transformation {
            Transformation::SchemeToOverwrite(scheme) => scheme.as_str().into(),
        }))
}

/// `access_log_options`, or what older configurations say in the fields that were there before it.
#[expect(deprecated, reason = "older configurations have these fields")]
fn log_options(config: &HttpConnectionManager) -> Result<proto::HcmAccessLogOptions, ConfigError> {
    let older = proto::HcmAccessLogOptions {
        access_log_flush_interval: config.access_log_flush_interval,
        flush_access_log_on_new_request: config.flush_access_log_on_new_request,
        ..proto::HcmAccessLogOptions::default()
    };
    let Some(options) = &config.access_log_options else {
        return Ok(older);
    };
    for (field, set) in [
        (
            "flush_access_log_on_new_request",
            older.flush_access_log_on_new_request,
        ),
        (
            "access_log_flush_interval",
            older.access_log_flush_interval.is_some(),
        ),
    ] {
        if set {
            let message = format!("Only one of {field} or access_log_options can be specified.");
            return Err(ConfigError::new(field, message));
        }
    }
    Ok(*options)
}

fn early_changes(config: &HttpConnectionManager) -> Result<Vec<HeaderChanges>, ConfigError> {
    const TYPE: &str =
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation";
    let compile = |extension: &core::TypedExtensionConfig| match &extension.typed_config {
        Some(config) if any::type_of(config) == TYPE => {
            let HeaderMutation { mutations } = any::unpack(config)?;
            HeaderChanges::from_config(&mutations, "mutations")
        }
        _ => {
            let name = &extension.name;
            let message = format!("Early header mutation extension not found: '{name}'");
            Err(ConfigError::new("", message))
        }
    };
    let extensions = config.early_header_mutation_extensions.iter().enumerate();
    let changes = extensions.map(|(index, extension)| {
        compile(extension)
            .within("typed_config")
            .within_index("early_header_mutation_extensions", index)
    });
    changes.collect()
}

fn request_ids(config: &HttpConnectionManager) -> Result<Option<RequestIds>, ConfigError> {
    let extension = match &config.request_id_extension {
        Some(extension) => match &extension.typed_config {
            Some(typed) => any::unpack(typed).within("request_id_extension.typed_config")?,
            None => UuidRequestIdConfig::default(),
        },
        None => UuidRequestIdConfig::default(),
    };
    let UuidRequestIdConfig {
        pack_trace_reason,
        // There is no tracing yet.
        use_request_id_for_trace_sampling: _,
    } = extension;
    let ids = RequestIds {
        preserve_external: config.preserve_external_request_id,
        pack_trace_reason: convert::bool_or(pack_trace_reason.as_ref(), true),
    };
    let wanted = convert::bool_or(config.generate_request_id.as_ref(), true);
    Ok(wanted.then_some(ids))
}
