//! `HttpConnectionManager` → [`HcmConfig`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nuncio_access_log::create_loggers;
use nuncio_config::api::access_log::AccessLog;
use nuncio_config::api::core::http1_protocol_options::HeaderKeyFormat;
use nuncio_config::api::core::http1_protocol_options::header_key_format::HeaderFormat;
use nuncio_config::api::hcm::http_connection_manager as proto;
use nuncio_config::api::hcm::http_connection_manager::RouteSpecifier as proto_routes;
use nuncio_config::api::hcm::http_filter::ConfigType;
use nuncio_config::api::hcm::{HttpConnectionManager, HttpFilter};
use nuncio_config::api::preserve_case::PreserveCaseFormatterConfig;
use nuncio_config::api::{core, protobuf};
use nuncio_config::{ConfigError, Within, any, convert};
use nuncio_http::h1::{H1Settings, HeaderCase, UnderscoreAction, UpgradeMatcher};
use nuncio_net::IpRange;
use nuncio_route::matchers::StringMatcher;
use nuncio_route::{CompileContext, RouteTable};
use nuncio_sdk::{AccessLogger, FactoryContext, HttpFilterConfig};
use nuncio_stats::Group;
use nuncio_upstream::ClusterManager;

use super::local_reply::LocalReplyConfig;
use super::path::{EscapedSlashes, PathRules};
use super::stats::{CodecStats, HttpStats, ListenerHttpStats};
use crate::router::RouterConfig;

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

/// A filter of the chain, before the terminal one.
pub(crate) struct FilterEntry {
    /// `HttpFilter.name`: what `typed_per_filter_config` refers to.
    pub(crate) name: Box<str>,
    /// Off unless a route switches it on.
    pub(crate) disabled: bool,
    pub(crate) config: Arc<dyn HttpFilterConfig>,
}

/// A filter chain: the router ends it.
pub(crate) struct FilterChain {
    pub(crate) filters: Vec<FilterEntry>,
    pub(crate) router: Arc<RouterConfig>,
}

/// `upgrade_configs[]`
pub(crate) struct Upgrade {
    /// Lower case.
    pub(crate) kind: Box<str>,
    pub(crate) enabled: bool,
    /// A chain of its own; absent: the connection manager's.
    pub(crate) chain: Option<Arc<FilterChain>>,
}

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
    /// How long the peer may take to notice a close. Default 1 s.
    pub(crate) delayed_close: Option<Duration>,
}

/// A validated connection manager, shared by all workers.
pub(crate) struct HcmConfig {
    pub(crate) h1: Arc<H1Settings>,
    pub(crate) chain: Arc<FilterChain>,
    pub(crate) upgrades: Vec<Upgrade>,
    pub(crate) routes: Arc<RouteTable>,
    pub(crate) access_logs: Vec<Arc<dyn AccessLogger>>,
    pub(crate) log_on_new_request: bool,
    pub(crate) log_interval: Option<Duration>,
    pub(crate) local_reply: LocalReplyConfig,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_requests_per_connection: Option<u32>,
    pub(crate) safe_max_connection_duration: bool,
    pub(crate) server_name: Box<str>,
    pub(crate) server_header: ServerHeader,
    pub(crate) scheme_to_set: Option<Box<str>>,
    pub(crate) via: Box<str>,
    pub(crate) use_remote_address: bool,
    pub(crate) xff_num_trusted_hops: u32,
    pub(crate) skip_xff_append: bool,
    pub(crate) internal_addresses: Vec<IpRange>,
    pub(crate) internal_unix_sockets: bool,
    pub(crate) append_x_forwarded_port: bool,
    pub(crate) ipv4_as_mapped_ipv6: bool,
    pub(crate) forward_client_cert: ForwardClientCert,
    pub(crate) generate_request_id: bool,
    pub(crate) preserve_external_request_id: bool,
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
        let upgrades = keep(&mut errors, upgrades(&config.upgrade_configs, &inner));
        let routes = keep(&mut errors, routes(&config, &inner));
        let access_logs = keep(&mut errors, access_logs(&config.access_log, &inner));
        let local_reply = keep(
            &mut errors,
            LocalReplyConfig::new(config.local_reply_config.as_ref(), &inner),
        );
        let timeouts = keep_one(&mut errors, timeouts(&config, &common));
        let h1 = keep_one(&mut errors, h1_settings(&config, &common));
        let scheme_to_set = keep_one(&mut errors, scheme(&config));
        let internal_addresses = keep_one(&mut errors, internal_addresses(&config));
        let log_options = config.access_log_options.unwrap_or_default();
        let log_interval = keep_one(
            &mut errors,
            convert::opt_duration(log_options.access_log_flush_interval.as_ref())
                .within("access_log_options.access_log_flush_interval"),
        );
        let (
            Some(chain),
            Some(upgrades),
            Some(routes),
            Some(access_logs),
            Some(local_reply),
            Some(timeouts),
            Some(h1),
            Some(scheme_to_set),
            Some(internal_addresses),
            Some(log_interval),
        ) = (
            chain,
            upgrades,
            routes,
            access_logs,
            local_reply,
            timeouts,
            h1,
            scheme_to_set,
            internal_addresses,
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
        Ok(HcmConfig {
            h1: Arc::new(h1),
            chain: Arc::new(chain),
            upgrades,
            routes,
            access_logs,
            log_on_new_request: log_options.flush_access_log_on_new_request,
            log_interval,
            local_reply,
            timeouts,
            max_requests_per_connection: common
                .max_requests_per_connection
                .map(|max| max.value)
                .filter(|&max| max > 0),
            safe_max_connection_duration: config.http1_safe_max_connection_duration,
            server_name: or_default(config.server_name, "envoy"),
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
            via: config.via.into(),
            use_remote_address: convert::bool_or(config.use_remote_address.as_ref(), false),
            xff_num_trusted_hops: config.xff_num_trusted_hops,
            skip_xff_append: config.skip_xff_append,
            internal_addresses,
            internal_unix_sockets: config
                .internal_address_config
                .as_ref()
                .is_some_and(|internal| internal.unix_sockets),
            append_x_forwarded_port: config.append_x_forwarded_port,
            ipv4_as_mapped_ipv6: config.represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
            forward_client_cert: match proto::ForwardClientCertDetails::try_from(
                config.forward_client_cert_details,
            ) {
                Ok(proto::ForwardClientCertDetails::AlwaysForwardOnly) => {
                    ForwardClientCert::AlwaysForwardOnly
                }
                _ => ForwardClientCert::Remove,
            },
            generate_request_id: convert::bool_or(config.generate_request_id.as_ref(), true),
            preserve_external_request_id: config.preserve_external_request_id,
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

/// Builds a filter chain, whose last filter must be the terminal one.
fn chain(
    filters: &[HttpFilter],
    field: &str,
    cx: &FactoryContext<'_>,
) -> Result<FilterChain, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut entries = Vec::with_capacity(filters.len());
    let mut router = None;
    for (index, filter) in filters.iter().enumerate() {
        let is_last = index + 1 == filters.len();
        match chain_filter(filter, is_last, cx) {
            Ok(Some(ChainFilter::Plain(entry))) => entries.push(entry),
            Ok(Some(ChainFilter::Router(config))) => router = Some(config),
            Ok(None) => {}
            Err(error) => errors.push(error.within(format_args!("{field}[{index}]"))),
        }
    }
    if filters.is_empty() {
        errors.push(
            ConfigError::new(
                field,
                "the filter chain is empty: its last filter must be terminal",
            )
            .with_remedy("add envoy.filters.http.router as the last filter"),
        );
    }
    match router {
        Some(router) if errors.is_empty() => Ok(FilterChain {
            filters: entries,
            router,
        }),
        _ => Err(errors),
    }
}

enum ChainFilter {
    Plain(FilterEntry),
    Router(Arc<RouterConfig>),
}

fn chain_filter(
    filter: &HttpFilter,
    is_last: bool,
    cx: &FactoryContext<'_>,
) -> Result<Option<ChainFilter>, ConfigError> {
    let config = match &filter.config_type {
        Some(ConfigType::TypedConfig(config)) => config,
        Some(ConfigType::ConfigDiscovery(_)) => {
            return Err(ConfigError::new(
                "config_discovery",
                "filter discovery needs xDS, which is not supported yet",
            ));
        }
        None => {
            return Err(ConfigError::new(
                "typed_config",
                format!(
                    "Didn't find a registered implementation for '{}': it has no typed_config",
                    filter.name
                ),
            ));
        }
    };
    let Some(factory) = cx.server.extensions.http_filter(&config.type_url) else {
        if filter.is_optional {
            log::warn!(
                "optional HTTP filter '{}' ({}) is not available: skipped",
                filter.name,
                config.type_url
            );
            return Ok(None);
        }
        return Err(ConfigError::new(
            "typed_config",
            format!(
                "Didn't find a registered implementation for '{}' with type URL: '{}'",
                filter.name,
                nuncio_config::any::type_name(&config.type_url)
            ),
        ));
    };
    if factory.is_terminal() != is_last {
        let message = match is_last {
            true => format!(
                "Error: non-terminal filter named {} of type {} is the last filter in a http filter chain.",
                filter.name,
                factory.name()
            ),
            false => format!(
                "Error: terminal filter named {} of type {} must be the last filter in a http filter chain.",
                filter.name,
                factory.name()
            ),
        };
        return Err(ConfigError::new("", message));
    }
    if is_last && filter.disabled {
        return Err(ConfigError::new(
            "disabled",
            "Error: the last (terminal) filter in the chain cannot be disabled by default.",
        ));
    }
    let built = factory
        .create(config, &cx.named(&filter.name))
        .within("typed_config")?;
    if !is_last {
        return Ok(Some(ChainFilter::Plain(FilterEntry {
            name: filter.name.as_str().into(),
            disabled: filter.disabled,
            config: built,
        })));
    }
    let router = built
        .terminal()
        .and_then(|terminal| terminal.downcast::<RouterConfig>().ok());
    match router {
        Some(router) => Ok(Some(ChainFilter::Router(router))),
        None => Err(ConfigError::new(
            "typed_config",
            format!("{} cannot end a chain", factory.name()),
        )),
    }
}

fn upgrades(
    configs: &[proto::UpgradeConfig],
    cx: &FactoryContext<'_>,
) -> Result<Vec<Upgrade>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut upgrades: Vec<Upgrade> = Vec::with_capacity(configs.len());
    for (index, config) in configs.iter().enumerate() {
        let kind = config.upgrade_type.to_ascii_lowercase();
        if upgrades.iter().any(|upgrade| *upgrade.kind == *kind) {
            errors.push(ConfigError::new(
                format!("upgrade_configs[{index}].upgrade_type"),
                format!(
                    "Error: multiple upgrade configs with the same name: '{}'",
                    config.upgrade_type
                ),
            ));
            continue;
        }
        let own = match config.filters.is_empty() {
            true => Ok(None),
            false => chain(&config.filters, "filters", cx).map(|chain| Some(Arc::new(chain))),
        };
        match own {
            Ok(chain) => upgrades.push(Upgrade {
                kind: kind.into(),
                enabled: convert::bool_or(config.enabled.as_ref(), true),
                chain,
            }),
            Err(found) => errors.extend(
                found
                    .into_iter()
                    .map(|error| error.within(format_args!("upgrade_configs[{index}]"))),
            ),
        }
    }
    if errors.is_empty() {
        Ok(upgrades)
    } else {
        Err(errors)
    }
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

/// A field's duration: absent is `default`, zero is none.
fn optional_timeout(
    value: Option<&protobuf::Duration>,
    default: Option<Duration>,
    field: &str,
) -> Result<Option<Duration>, ConfigError> {
    let duration = convert::opt_duration(value).within(field)?;
    Ok(duration.or(default).filter(|duration| !duration.is_zero()))
}

fn timeouts(
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
        delayed_close: optional_timeout(
            config.delayed_close_timeout.as_ref(),
            Some(Duration::from_secs(1)),
            "delayed_close_timeout",
        )?,
    })
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

fn internal_addresses(config: &HttpConnectionManager) -> Result<Vec<IpRange>, ConfigError> {
    let Some(internal) = &config.internal_address_config else {
        return Ok(Vec::new());
    };
    let ranges = internal
        .cidr_ranges
        .iter()
        .enumerate()
        .map(|(index, range)| {
            let base = range.address_prefix.parse().map_err(|_| {
                ConfigError::new(
                    "address_prefix",
                    format!("malformed IP address: {}", range.address_prefix),
                )
                .within(format_args!("internal_address_config.cidr_ranges[{index}]"))
            })?;
            Ok(IpRange::new(
                base,
                convert::u32_or(range.prefix_len.as_ref(), 0),
            ))
        });
    ranges.collect()
}

fn h1_settings(
    config: &HttpConnectionManager,
    common: &core::HttpProtocolOptions,
) -> Result<H1Settings, ConfigError> {
    let mut settings =
        h1_options(config.http_protocol_options.as_ref()).within("http_protocol_options")?;
    settings.max_head_bytes =
        convert::u32_or(config.max_request_headers_kb.as_ref(), 60) as usize * 1024;
    settings.max_headers = convert::u32_or(common.max_headers_count.as_ref(), 100) as usize;
    settings.underscores = match core::http_protocol_options::HeadersWithUnderscoresAction::try_from(
        common.headers_with_underscores_action,
    ) {
        Ok(core::http_protocol_options::HeadersWithUnderscoresAction::RejectRequest) => {
            UnderscoreAction::RejectRequest
        }
        Ok(core::http_protocol_options::HeadersWithUnderscoresAction::DropHeader) => {
            UnderscoreAction::DropHeader
        }
        _ => UnderscoreAction::Allow,
    };
    Ok(settings)
}

fn h1_options(options: Option<&core::Http1ProtocolOptions>) -> Result<H1Settings, ConfigError> {
    let mut settings = H1Settings::default();
    let Some(options) = options else {
        return Ok(settings);
    };
    settings.allow_absolute_url = convert::bool_or(options.allow_absolute_url.as_ref(), true);
    settings.accept_http_10 = options.accept_http_10;
    settings
        .default_host_for_http_10
        .clone_from(&options.default_host_for_http_10);
    settings.enable_trailers = options.enable_trailers;
    settings.allow_chunked_length = options.allow_chunked_length;
    settings.allow_custom_methods = options.allow_custom_methods;
    if let Some(format) = &options.header_key_format {
        settings.header_case = header_case(format).within("header_key_format")?;
    }
    if !options.ignore_http_11_upgrade.is_empty() {
        let matchers = options.ignore_http_11_upgrade.iter().enumerate();
        let matchers: Vec<StringMatcher> = matchers
            .map(|(index, matcher)| {
                StringMatcher::from_config(matcher).within_index("ignore_http_11_upgrade", index)
            })
            .collect::<Result<_, _>>()?;
        settings.ignore_upgrade = Some(UpgradeMatcher(Arc::new(move |kind| {
            matchers.iter().any(|matcher| matcher.matches(kind))
        })));
    }
    Ok(settings)
}

fn header_case(format: &HeaderKeyFormat) -> Result<HeaderCase, ConfigError> {
    match &format.header_format {
        None => Err(ConfigError::new("header_format", "value is required")),
        Some(HeaderFormat::ProperCaseWords(_)) => Ok(HeaderCase::ProperWords),
        Some(HeaderFormat::StatefulFormatter(formatter)) => {
            let config = formatter.typed_config.as_ref();
            let config =
                config.ok_or_else(|| ConfigError::new("typed_config", "value is required"));
            let config: PreserveCaseFormatterConfig =
                config.and_then(any::unpack).within("stateful_formatter")?;
            Ok(HeaderCase::Preserve {
                proper_own: config.formatter_type_on_envoy_headers == 1,
                forward_reason: config.forward_reason_phrase,
            })
        }
    }
}
