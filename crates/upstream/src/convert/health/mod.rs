//! Active health checks.

mod checks;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use nuncio_access_log::{Destination, LogFile};
use nuncio_config::api::core::{HealthCheck, TypedExtensionConfig, health_check::HealthChecker};
use nuncio_config::api::health_check_file_sink::HealthCheckEventFileSink;
use nuncio_config::{ConfigError, Within, any, convert as value, take_health_check_name};

use super::{Errors, SharedParts};
use crate::health::{Check, EventLog, Settings};

/// The checks, as far as they are right. `http2`: the cluster's upstreams speak HTTP/2.
pub(super) fn settings(
    messages: Vec<HealthCheck>,
    http2: bool,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Vec<Settings> {
    let several = messages.len() > 1;
    let mut names = HashSet::new();
    let messages = messages.into_iter().enumerate();
    messages
        .filter_map(|(index, mut message)| {
            errors.nested(format_args!("health_checks[{index}]"), |errors| {
                let name = take_health_check_name(&mut message);
                if several && name.is_empty() {
                    errors.push(ConfigError::new(
                        "name",
                        format!("health check at index {index} is missing a name; all health checks must have a name when multiple health checks are configured"),
                    ));
                } else if several && !names.insert(name.clone()) {
                    errors.push(ConfigError::new(
                        "name",
                        format!("duplicate health check name '{name}' at index {index}; all health check names must be unique within a cluster"),
                    ));
                }
                one(message, name, http2, parts, errors)
            })
        })
        .collect()
}

#[expect(deprecated, reason = "deprecated fields are refused by name")]
fn one(
    message: HealthCheck,
    name: String,
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
            .nested("http_health_check", |errors| {
                checks::http(check, parts, errors)
            })
            .map(Check::Http),
        Some(HealthChecker::TcpHealthCheck(check)) => errors
            .nested("tcp_health_check", |errors| checks::tcp(check, errors))
            .map(Check::Tcp),
        Some(HealthChecker::GrpcHealthCheck(check)) => {
            if !http2 {
                errors.push(ConfigError::new(
                    "grpc_health_check",
                    "cluster must support HTTP/2 for gRPC healthchecking",
                ));
            }
            Some(Check::Grpc(errors.nested("grpc_health_check", |errors| {
                checks::grpc(check, errors)
            })))
        }
        Some(HealthChecker::CustomHealthCheck(check)) => errors
            .nested("custom_health_check", |errors| {
                checks::custom(check, errors)
            }),
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
    #[expect(
        clippy::cast_possible_truncation,
        reason = "Envoy takes any number, and of it these bits"
    )]
    let alt_port = alt_port.map(|port| port.value as u16);
    let interval = interval?;
    let unhealthy_interval = unhealthy_interval.unwrap_or(interval);
    Some(Settings {
        name,
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

/// Envoy's default of `no_traffic_interval`.
const NO_TRAFFIC_INTERVAL: Duration = Duration::from_secs(60);

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
