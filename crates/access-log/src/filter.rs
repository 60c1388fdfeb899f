//! `envoy.config.accesslog.v3.AccessLogFilter`: which entries a logger writes.

#[cfg(test)]
mod tests;

use nuncio_config::api::access_log as api;
use nuncio_config::api::access_log::access_log_filter::FilterSpecifier;
use nuncio_config::api::access_log::comparison_filter::Op;
use nuncio_config::api::{matcher, route, types};
use nuncio_config::convert;
use nuncio_config::{ConfigError, Within};
use nuncio_http::grpc::Code;
use nuncio_http::{HeaderMap, Known};
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::runtime::{RuntimeFraction, RuntimeInteger};
use nuncio_sdk::{AccessLogType, FactoryContext, LogContext, ResponseFlags};

use crate::formatter::grpc_status;

/// Decides whether request headers match.
pub type HeaderPredicate = Box<dyn Fn(&HeaderMap) -> bool + Send + Sync>;
/// Decides whether the dynamic metadata match; absent metadata are empty.
pub type MetadataPredicate = Box<dyn Fn(Option<&DynamicMetadata>) -> bool + Send + Sync>;

/// Compiles the matchers of filters. They live with the routes, in a crate above this one, and come in as a service
/// ([`nuncio_sdk::Services`]).
pub struct FilterMatchers {
    /// Compiles a `HeaderMatcher`.
    pub header: fn(&route::HeaderMatcher) -> Result<HeaderPredicate, ConfigError>,
    /// Compiles a `MetadataMatcher`.
    pub metadata: fn(&matcher::MetadataMatcher) -> Result<MetadataPredicate, ConfigError>,
}

/// A compiled filter.
pub enum Filter {
    /// `status_code_filter`; a stream without status has 0.
    StatusCode(Comparison),
    /// `duration_filter`, in milliseconds.
    Duration(Comparison),
    /// `not_health_check_filter`
    NotHealthCheck,
    /// `traceable_filter`
    Traceable,
    /// `runtime_filter`: a share of the streams, the same for one `x-request-id` unless it is to be random.
    Runtime {
        /// How many.
        share: RuntimeFraction,
        /// Never look at the request id.
        independent: bool,
    },
    /// `and_filter`
    And(Box<[Filter]>),
    /// `or_filter`
    Or(Box<[Filter]>),
    /// `header_filter`
    Header(HeaderPredicate),
    /// `response_flag_filter`; `None` passes every stream that has a flag.
    ResponseFlag(Option<ResponseFlags>),
    /// `grpc_status_filter`
    GrpcStatus {
        /// A bit for each status.
        statuses: u32,
        /// Passes the others instead.
        exclude: bool,
    },
    /// `metadata_filter`
    Metadata(MetadataFilter),
    /// `log_type_filter`
    LogType {
        /// Numbers of `envoy.data.accesslog.v3.AccessLogType`.
        types: Box<[i32]>,
        /// Passes the others instead.
        exclude: bool,
    },
}

/// `ComparisonFilter`
#[derive(Clone, Debug)]
pub struct Comparison {
    op: Op,
    value: RuntimeInteger,
}

/// A value of the metadata, and what to do when it is not there.
pub struct MetadataFilter {
    matches: Option<MetadataPredicate>,
    namespace: Box<str>,
    path: Box<[Box<str>]>,
    pass_if_missing: bool,
}

impl Comparison {
    fn new(
        config: Option<&api::ComparisonFilter>,
        cx: &FactoryContext<'_>,
    ) -> Result<Comparison, ConfigError> {
        let Some(api::ComparisonFilter { op, value }) = config else {
            return Err(ConfigError::new("comparison", "value is required"));
        };
        let op = Op::try_from(*op)
            .map_err(|_| ConfigError::new("comparison.op", "unknown enum value"))?;
        let Some(value) = value else {
            return Err(ConfigError::new("comparison.value", "value is required"));
        };
        let nuncio_config::api::core::RuntimeUInt32 {
            default_value,
            runtime_key,
        } = value;
        Ok(Comparison {
            op,
            value: cx
                .server
                .runtime()
                .integer(runtime_key, u64::from(*default_value)),
        })
    }

    fn holds(&self, value: u64) -> bool {
        match self.op {
            Op::Eq => value == self.value.get(),
            Op::Ge => value >= self.value.get(),
            Op::Le => value <= self.value.get(),
            Op::Ne => value != self.value.get(),
        }
    }
}

impl Filter {
    /// Compiles a filter.
    ///
    /// # Errors
    /// When a part is missing or not valid, or the filter is an extension.
    pub fn new(
        config: &api::AccessLogFilter,
        cx: &FactoryContext<'_>,
    ) -> Result<Filter, ConfigError> {
        let api::AccessLogFilter { filter_specifier } = config;
        let Some(specifier) = filter_specifier else {
            return Err(ConfigError::new(
                "",
                "AccessLogFilter: a filter_specifier is required",
            ));
        };
        match specifier {
            FilterSpecifier::StatusCodeFilter(api::StatusCodeFilter { comparison }) => {
                Comparison::new(comparison.as_ref(), cx)
                    .map(Filter::StatusCode)
                    .within("status_code_filter")
            }
            FilterSpecifier::DurationFilter(api::DurationFilter { comparison }) => {
                Comparison::new(comparison.as_ref(), cx)
                    .map(Filter::Duration)
                    .within("duration_filter")
            }
            FilterSpecifier::NotHealthCheckFilter(api::NotHealthCheckFilter {}) => {
                Ok(Filter::NotHealthCheck)
            }
            FilterSpecifier::TraceableFilter(api::TraceableFilter {}) => Ok(Filter::Traceable),
            FilterSpecifier::RuntimeFilter(filter) => runtime(filter, cx).within("runtime_filter"),
            FilterSpecifier::AndFilter(api::AndFilter { filters }) => {
                all(filters, cx).map(Filter::And).within("and_filter")
            }
            FilterSpecifier::OrFilter(api::OrFilter { filters }) => {
                all(filters, cx).map(Filter::Or).within("or_filter")
            }
            FilterSpecifier::HeaderFilter(filter) => header(filter, cx).within("header_filter"),
            FilterSpecifier::ResponseFlagFilter(filter) => {
                response_flag(filter).within("response_flag_filter")
            }
            FilterSpecifier::GrpcStatusFilter(filter) => grpc(filter).within("grpc_status_filter"),
            FilterSpecifier::MetadataFilter(filter) => {
                metadata(filter, cx).within("metadata_filter")
            }
            FilterSpecifier::LogTypeFilter(api::LogTypeFilter { types, exclude }) => {
                Ok(Filter::LogType {
                    types: types.as_slice().into(),
                    exclude: *exclude,
                })
            }
            FilterSpecifier::ExtensionFilter(api::ExtensionFilter {
                name,
                config_type: _,
            }) => {
                let message = format!("unsupported: access log filter extension '{name}'");
                Err(ConfigError::new("extension_filter", message))
            }
        }
    }

    /// Whether the entry is to be written.
    pub fn passes(&self, cx: &LogContext<'_>) -> bool {
        let info = cx.info;
        match self {
            Filter::StatusCode(comparison) => {
                comparison.holds(info.response_code.unwrap_or(0).into())
            }
            Filter::Duration(comparison) => {
                let now = info.end.unwrap_or_else(nuncio_event::now);
                comparison.holds(info.duration(now).as_millis() as u64)
            }
            Filter::NotHealthCheck => !info.health_check,
            Filter::Traceable => info.traced,
            Filter::Runtime { share, independent } => {
                let id = if *independent {
                    None
                } else {
                    request_number(cx.request_headers)
                };
                share.hit(id.unwrap_or_else(rand::random))
            }
            Filter::And(filters) => filters.iter().all(|filter| filter.passes(cx)),
            Filter::Or(filters) => filters.iter().any(|filter| filter.passes(cx)),
            Filter::Header(matches) => matches(cx.request_headers),
            Filter::ResponseFlag(None) => !info.flags.is_empty(),
            Filter::ResponseFlag(Some(flags)) => info.flags.intersects(*flags),
            Filter::GrpcStatus { statuses, exclude } => {
                // Unlike `%GRPC_STATUS%`, the filter does not ask whether the request was gRPC.
                let status = grpc_status(cx).unwrap_or(Ok(Code::UNKNOWN));
                let listed = status.is_ok_and(|Code(code)| code < 32 && statuses >> code & 1 == 1);
                listed != *exclude
            }
            Filter::Metadata(filter) => filter.passes(info.metadata.as_deref()),
            Filter::LogType { types, exclude } => {
                types.contains(&number_of(cx.log_type)) != *exclude
            }
        }
    }
}

impl MetadataFilter {
    fn passes(&self, metadata: Option<&DynamicMetadata>) -> bool {
        let Some(matches) = &self.matches else {
            return self.pass_if_missing;
        };
        let found = metadata
            .and_then(|metadata| metadata.get(&self.namespace, self.path.iter().map(|key| &**key)));
        match found {
            None => self.pass_if_missing,
            Some(_) => matches(metadata),
        }
    }
}

fn all(
    filters: &[api::AccessLogFilter],
    cx: &FactoryContext<'_>,
) -> Result<Box<[Filter]>, ConfigError> {
    if filters.len() < 2 {
        return Err(ConfigError::new(
            "filters",
            "value must contain at least 2 item(s)",
        ));
    }
    let compiled = filters.iter().enumerate();
    compiled
        .map(|(index, filter)| Filter::new(filter, cx).within_index("filters", index))
        .collect()
}

fn runtime(config: &api::RuntimeFilter, cx: &FactoryContext<'_>) -> Result<Filter, ConfigError> {
    let api::RuntimeFilter {
        runtime_key,
        percent_sampled,
        use_independent_randomness,
    } = config;
    if runtime_key.is_empty() {
        return Err(ConfigError::new(
            "runtime_key",
            "value length must be at least 1 characters",
        ));
    }
    let none = types::FractionalPercent::default();
    let share =
        convert::fraction(percent_sampled.as_ref().unwrap_or(&none)).within("percent_sampled")?;
    Ok(Filter::Runtime {
        share: cx.server.runtime().fraction(runtime_key, share),
        independent: *use_independent_randomness,
    })
}

/// The number that Envoy's UUID extension makes of `x-request-id`: its first eight hexadecimal digits.
fn request_number(headers: &HeaderMap) -> Option<u64> {
    let digits = headers.get(Known::XRequestId)?.get(..8)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn matchers(cx: &FactoryContext<'_>) -> Result<std::sync::Arc<FilterMatchers>, ConfigError> {
    cx.server
        .services
        .get()
        .ok_or_else(|| ConfigError::new("", "unsupported: this program has no matchers"))
}

fn header(config: &api::HeaderFilter, cx: &FactoryContext<'_>) -> Result<Filter, ConfigError> {
    let api::HeaderFilter { header } = config;
    let Some(header) = header else {
        return Err(ConfigError::new("header", "value is required"));
    };
    (matchers(cx)?.header)(header)
        .map(Filter::Header)
        .within("header")
}

fn response_flag(config: &api::ResponseFlagFilter) -> Result<Filter, ConfigError> {
    let api::ResponseFlagFilter { flags } = config;
    if flags.is_empty() {
        return Ok(Filter::ResponseFlag(None));
    }
    let mut set = ResponseFlags::NONE;
    for (index, name) in flags.iter().enumerate() {
        let flag = ResponseFlags::from_short(name).ok_or_else(|| {
            ConfigError::new(
                format!("flags[{index}]"),
                format!("unknown response flag '{name}'"),
            )
        })?;
        set.insert(flag);
    }
    Ok(Filter::ResponseFlag(Some(set)))
}

fn grpc(config: &api::GrpcStatusFilter) -> Result<Filter, ConfigError> {
    let api::GrpcStatusFilter { statuses, exclude } = config;
    let mut set = 0;
    for (index, status) in statuses.iter().enumerate() {
        if !(0..=16).contains(status) {
            return Err(ConfigError::new(
                format!("statuses[{index}]"),
                "value must be one of the defined enum values",
            ));
        }
        set |= 1 << status;
    }
    Ok(Filter::GrpcStatus {
        statuses: set,
        exclude: *exclude,
    })
}

fn metadata(config: &api::MetadataFilter, cx: &FactoryContext<'_>) -> Result<Filter, ConfigError> {
    let api::MetadataFilter {
        matcher,
        match_if_key_not_found,
    } = config;
    let pass_if_missing = convert::bool_or(match_if_key_not_found.as_ref(), true);
    let Some(config) = matcher else {
        // Envoy looks for a value without a name, and never finds it.
        return Ok(Filter::Metadata(MetadataFilter {
            matches: None,
            namespace: "".into(),
            path: Box::default(),
            pass_if_missing,
        }));
    };
    use matcher::metadata_matcher::path_segment::Segment;
    // Envoy's filter does not look at `invert`.
    let upright = matcher::MetadataMatcher {
        invert: false,
        ..config.clone()
    };
    let matches = (matchers(cx)?.metadata)(&upright).within("matcher")?;
    let keys = config
        .path
        .iter()
        .filter_map(|segment| segment.segment.as_ref())
        .map(|Segment::Key(key)| Box::from(key.as_str()));
    Ok(Filter::Metadata(MetadataFilter {
        matches: Some(matches),
        namespace: config.filter.as_str().into(),
        path: keys.collect(),
        pass_if_missing,
    }))
}

/// The number of `envoy.data.accesslog.v3.AccessLogType`.
fn number_of(log_type: AccessLogType) -> i32 {
    match log_type {
        AccessLogType::NotSet => 0,
        AccessLogType::DownstreamStart => 4,
        AccessLogType::DownstreamPeriodic => 5,
        AccessLogType::DownstreamEnd => 6,
        AccessLogType::DownstreamTunnelSuccessfullyEstablished => 10,
    }
}
