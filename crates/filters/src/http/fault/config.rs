//! `HTTPFault` → [`FaultConfig`].

use std::collections::BTreeMap;
use std::time::Duration;

use nuncio_config::api::common_fault::fault_delay::FaultDelaySecifier;
use nuncio_config::api::common_fault::fault_rate_limit::LimitType;
use nuncio_config::api::common_fault::{FaultDelay, FaultRateLimit};
use nuncio_config::api::fault::fault_abort::ErrorType;
use nuncio_config::api::fault::{FaultAbort, HttpFault};
use nuncio_config::api::protobuf::Value;
use nuncio_config::api::types::FractionalPercent;
use nuncio_config::convert::{self, Fraction};
use nuncio_config::{ConfigError, Within};
use nuncio_http::{HeaderMap, Known};
use nuncio_route::matchers::HeaderMatcher;
use nuncio_sdk::Runtime;
use nuncio_sdk::runtime::{RuntimeFraction, RuntimeInteger};

use super::number;

/// How many of the requests; a request header may ask for fewer. The runtime prevails over both.
pub(super) struct Share {
    configured: Fraction,
    header: Option<Known>,
    runtime: RuntimeFraction,
}

/// Keys of the runtime, where the configuration names no others (Envoy's `RuntimeKeys`).
struct Keys<'a> {
    runtime: &'a Runtime,
    config: &'a HttpFault,
}

impl Keys<'_> {
    fn name<'k>(configured: &'k str, usual: &'k str) -> &'k str {
        match configured.is_empty() {
            true => usual,
            false => configured,
        }
    }

    fn share(&self, configured: &str, usual: &str) -> RuntimeFraction {
        let never = Fraction {
            numerator: 0,
            denominator: 100,
        };
        self.runtime.fraction(Self::name(configured, usual), never)
    }

    fn integer(&self, configured: &str, usual: &str) -> RuntimeInteger {
        self.runtime.integer(Self::name(configured, usual), 0)
    }
}

impl Share {
    fn new(
        percentage: Option<&FractionalPercent>,
        header: Option<Known>,
        runtime: RuntimeFraction,
    ) -> Result<Share, ConfigError> {
        let configured = match percentage {
            Some(percentage) => convert::fraction(percentage).within("percentage")?,
            None => Fraction {
                numerator: 0,
                denominator: 100,
            },
        };
        Ok(Share {
            configured,
            header,
            runtime,
        })
    }

    /// The share that applies to a request; the runtime's is read under this key, if one is given.
    pub(super) fn of(&self, headers: &HeaderMap, other: Option<Option<Fraction>>) -> Fraction {
        if let Some(share) = other.unwrap_or_else(|| self.runtime.overridden()) {
            return share;
        }
        let asked = self.header.and_then(|header| number(headers, header));
        let numerator = match asked {
            Some(asked) => self
                .configured
                .numerator
                .min(u32::try_from(asked).unwrap_or(u32::MAX)),
            None => self.configured.numerator,
        };
        Fraction {
            numerator,
            ..self.configured
        }
    }
}

pub(super) enum Amount {
    Fixed(Duration),
    /// `x-envoy-fault-delay-request`, in milliseconds.
    Header,
}

pub(super) struct Delay {
    pub(super) share: Share,
    pub(super) amount: Amount,
    /// In milliseconds, in place of `amount`.
    pub(super) runtime: RuntimeInteger,
}

pub(super) enum AbortStatus {
    Http(u16),
    Grpc(u32),
    /// `x-envoy-fault-abort-request` or `x-envoy-fault-abort-grpc-request`.
    Header,
}

pub(super) struct Abort {
    pub(super) share: Share,
    pub(super) status: AbortStatus,
    /// In place of an HTTP, or gRPC, `status`.
    pub(super) runtime: (RuntimeInteger, RuntimeInteger),
    pub(super) body: Option<Box<str>>,
}

pub(super) struct Rate {
    pub(super) share: Share,
    /// Absent: `x-envoy-fault-throughput-response`.
    pub(super) kib_per_second: Option<u64>,
}

pub(super) struct FaultConfig {
    pub(super) delay: Option<Delay>,
    pub(super) abort: Option<Abort>,
    pub(super) rate: Option<Rate>,
    pub(super) upstream_cluster: Box<str>,
    pub(super) headers: Box<[HeaderMatcher]>,
    pub(super) downstream_nodes: Box<[String]>,
    pub(super) max_active: RuntimeInteger,
    pub(super) disable_downstream_cluster_stats: bool,
    pub(super) metadata: BTreeMap<String, Value>,
}

impl FaultConfig {
    pub(super) fn new(config: &HttpFault, runtime: &Runtime) -> Result<FaultConfig, ConfigError> {
        let keys = Keys { runtime, config };
        let headers = config
            .headers
            .iter()
            .enumerate()
            .map(|(index, matcher)| {
                HeaderMatcher::from_config(matcher).within_index("headers", index)
            })
            .collect::<Result<_, _>>()?;
        Ok(FaultConfig {
            delay: config
                .delay
                .as_ref()
                .map(|config| delay(config, &keys))
                .transpose()
                .within("delay")?,
            abort: config
                .abort
                .as_ref()
                .map(|config| abort(config, &keys))
                .transpose()
                .within("abort")?,
            rate: config
                .response_rate_limit
                .as_ref()
                .map(|config| rate(config, &keys))
                .transpose()
                .within("response_rate_limit")?,
            upstream_cluster: config.upstream_cluster.as_str().into(),
            headers,
            downstream_nodes: config.downstream_nodes.clone().into(),
            max_active: runtime.integer(
                Keys::name(&config.max_active_faults_runtime, MAX_ACTIVE_KEY),
                (config.max_active_faults).map_or(u64::MAX, |max| u64::from(max.value)),
            ),
            disable_downstream_cluster_stats: config.disable_downstream_cluster_stats,
            metadata: config
                .filter_metadata
                .iter()
                .flat_map(|metadata| metadata.fields.clone())
                .collect(),
        })
    }
}

/// Envoy's name of it in the runtime.
const MAX_ACTIVE_KEY: &str = "fault.http.max_active_faults";

fn delay(config: &FaultDelay, keys: &Keys<'_>) -> Result<Delay, ConfigError> {
    let (amount, header) = match &config.fault_delay_secifier {
        Some(FaultDelaySecifier::FixedDelay(fixed)) => (
            Amount::Fixed(convert::duration(fixed).within("fixed_delay")?),
            None,
        ),
        Some(FaultDelaySecifier::HeaderDelay(_)) => (
            Amount::Header,
            Some(Known::XEnvoyFaultDelayRequestPercentage),
        ),
        None => {
            return Err(ConfigError::new(
                "fixed_delay",
                "a fixed_delay or header_delay is required",
            ));
        }
    };
    Ok(Delay {
        share: Share::new(
            config.percentage.as_ref(),
            header,
            keys.share(
                &keys.config.delay_percent_runtime,
                "fault.http.delay.fixed_delay_percent",
            ),
        )?,
        amount,
        runtime: keys.integer(
            &keys.config.delay_duration_runtime,
            "fault.http.delay.fixed_duration_ms",
        ),
    })
}

fn abort(config: &FaultAbort, keys: &Keys<'_>) -> Result<Abort, ConfigError> {
    let (status, header) = match &config.error_type {
        Some(ErrorType::HttpStatus(status @ 200..600)) => (AbortStatus::Http(*status as u16), None),
        Some(ErrorType::HttpStatus(_)) => {
            return Err(ConfigError::new(
                "http_status",
                "value must be inside range [200, 600)",
            ));
        }
        Some(ErrorType::GrpcStatus(status)) => (AbortStatus::Grpc(*status), None),
        Some(ErrorType::HeaderAbort(_)) => (
            AbortStatus::Header,
            Some(Known::XEnvoyFaultAbortRequestPercentage),
        ),
        None => {
            return Err(ConfigError::new(
                "http_status",
                "an http_status, grpc_status or header_abort is required",
            ));
        }
    };
    Ok(Abort {
        share: Share::new(
            config.percentage.as_ref(),
            header,
            keys.share(
                &keys.config.abort_percent_runtime,
                "fault.http.abort.abort_percent",
            ),
        )?,
        status,
        runtime: (
            keys.integer(
                &keys.config.abort_http_status_runtime,
                "fault.http.abort.http_status",
            ),
            keys.integer(
                &keys.config.abort_grpc_status_runtime,
                "fault.http.abort.grpc_status",
            ),
        ),
        body: (!config.response_body.is_empty()).then(|| config.response_body.as_str().into()),
    })
}

fn rate(config: &FaultRateLimit, keys: &Keys<'_>) -> Result<Rate, ConfigError> {
    let (kib_per_second, header) = match &config.limit_type {
        Some(LimitType::FixedLimit(limit)) if limit.limit_kbps > 0 => {
            (Some(limit.limit_kbps), None)
        }
        Some(LimitType::FixedLimit(_)) => {
            return Err(ConfigError::new(
                "fixed_limit.limit_kbps",
                "value must be greater than or equal to 1",
            ));
        }
        Some(LimitType::HeaderLimit(_)) => {
            (None, Some(Known::XEnvoyFaultThroughputResponsePercentage))
        }
        None => {
            return Err(ConfigError::new(
                "fixed_limit",
                "a fixed_limit or header_limit is required",
            ));
        }
    };
    Ok(Rate {
        share: Share::new(
            config.percentage.as_ref(),
            header,
            keys.share(
                &keys.config.response_rate_limit_percent_runtime,
                "fault.http.rate_limit.response_percent",
            ),
        )?,
        kib_per_second,
    })
}
