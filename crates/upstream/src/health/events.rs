//! The JSON lines of `HealthCheck.event_logger` and `event_log_path` (`envoy.data.core.v3.HealthCheckEvent`).

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use nuncio_access_log::LogFile;
use nuncio_config::json::{self, Style};
use nuncio_net::Address;

use super::Failure;
use crate::host::Host;
use crate::outlier::timestamp;

/// Where events of one check go, and which of those that change nothing.
#[derive(Clone)]
pub(crate) struct EventLog {
    pub(crate) files: Arc<[Arc<LogFile>]>,
    /// `always_log_health_check_failures`
    pub(crate) all_failures: bool,
    /// `always_log_health_check_success`
    pub(crate) all_successes: bool,
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("all_failures", &self.all_failures)
            .field("all_successes", &self.all_successes)
            .finish_non_exhaustive()
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The host is well now; `first`: that was the first answer.
    AddHealthy {
        first: bool,
    },
    /// The host is not well any more.
    EjectUnhealthy(Failure),
    /// A question has failed.
    Failed {
        failure: Failure,
        first: bool,
    },
    /// A question was answered well, which changes nothing.
    Succeeded,
    Degraded,
    NoLongerDegraded,
}

impl EventLog {
    /// Writes one line. `checker`: Envoy's name of the kind of check.
    pub(super) fn write(&self, event: Event, checker: &str, cluster: &str, host: &Host) {
        let line = line(event, checker, cluster, host, SystemTime::now());
        for file in &*self.files {
            file.write_with(|out| out.extend_from_slice(line.as_bytes()));
        }
    }
}

/// Fields in the order of their numbers, as Envoy prints them.
fn line(event: Event, checker: &str, cluster: &str, host: &Host, time: SystemTime) -> String {
    let mut out = format!(r#"{{"health_checker_type":"{checker}","host":"#);
    // Writing to a `String` cannot fail.
    let _ = write_address(&mut out, host.address());
    let _ = write!(out, r#","cluster_name":{}"#, json::quoted(cluster));
    let failure = |failure: Failure| {
        let (kind, status) = match failure {
            Failure::Active { status, .. } => ("ACTIVE", status),
            Failure::Passive => ("PASSIVE", 0),
            Failure::Network => ("NETWORK", 0),
            Failure::Timeout => ("NETWORK_TIMEOUT", 0),
        };
        (format!(r#""failure_type":"{kind}""#), status)
    };
    let before_time = match event {
        Event::EjectUnhealthy(what) => {
            let (kind, status) = failure(what);
            format!(r#","eject_unhealthy_event":{{{kind},"http_status_code":{status}}}"#)
        }
        Event::AddHealthy { first } => format!(r#","add_healthy_event":{{"first_check":{first}}}"#),
        _ => String::new(),
    };
    let _ = write!(out, r#"{before_time},"timestamp":"{}""#, timestamp(time));
    out.push_str(&match event {
        Event::Failed {
            failure: what,
            first,
        } => {
            let (kind, status) = failure(what);
            format!(
                r#","health_check_failure_event":{{{kind},"first_check":{first},"http_status_code":{status}}}"#
            )
        }
        Event::Degraded => r#","degraded_healthy_host":{}"#.into(),
        Event::NoLongerDegraded => r#","no_longer_degraded_host":{}"#.into(),
        _ => String::new(),
    });
    write_metadata(&mut out, host);
    let locality = host.locality();
    let _ = write!(
        out,
        r#","locality":{{"region":{},"zone":{},"sub_zone":{}}}"#,
        json::quoted(&locality.region),
        json::quoted(&locality.zone),
        json::quoted(&locality.sub_zone)
    );
    if event == Event::Succeeded {
        out.push_str(r#","successful_health_check_event":{}"#);
    }
    out.push_str("}\n");
    out
}

fn write_address(out: &mut String, address: &Address) -> fmt::Result {
    match address {
        Address::Ip(ip) => write!(
            out,
            r#"{{"socket_address":{{"protocol":"TCP","address":"{}","port_value":{},"resolver_name":"","ipv4_compat":false,"network_namespace_filepath":""}}}}"#,
            ip.ip(),
            ip.port()
        ),
        Address::Pipe { path, mode } => write!(
            out,
            r#"{{"pipe":{{"path":{},"mode":{mode}}}}}"#,
            json::quoted(path)
        ),
        Address::Internal { listener, endpoint } => write!(
            out,
            r#"{{"envoy_internal_address":{{"server_listener_name":{},"endpoint_id":{}}}}}"#,
            json::quoted(listener),
            json::quoted(endpoint)
        ),
    }
}

fn write_metadata(out: &mut String, host: &Host) {
    let Some(metadata) = host.metadata().filter(|metadata| !metadata.is_empty()) else {
        return;
    };
    let style = Style {
        pretty: false,
        defaults: true,
        redact: false,
    };
    let namespaces = metadata.iter().map(|(namespace, fields)| {
        let fields = json::print_message(fields, style);
        format!("{}:{}", json::quoted(namespace), fields.trim_end())
    });
    let namespaces: Vec<_> = namespaces.collect();
    out.push_str(r#","metadata":{"filter_metadata":{"#);
    out.push_str(&namespaces.join(","));
    out.push_str(r#"},"typed_filter_metadata":{}}"#);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::host::HealthFlags;
    use crate::testing::host;

    #[test]
    fn lines_are_envoys() {
        let host = host(1, 1, HealthFlags::default());
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        let of = |event| line(event, "HTTP", "c", &host, time);
        let Address::Ip(ip) = host.address() else {
            panic!("no IP address");
        };
        let head = format!(
            r#"{{"health_checker_type":"HTTP","host":{{"socket_address":{{"protocol":"TCP","address":"{}","port_value":{},"resolver_name":"","ipv4_compat":false,"network_namespace_filepath":""}}}},"cluster_name":"c""#,
            ip.ip(),
            ip.port()
        );
        let time = r#","timestamp":"1970-01-01T00:00:01.500Z""#;
        let tail = r#","locality":{"region":"","zone":"","sub_zone":""}"#;
        let active = Failure::Active {
            retriable: false,
            excluded: false,
            status: 503,
        };
        for (event, before, after, end) in [
            (
                Event::AddHealthy { first: true },
                r#","add_healthy_event":{"first_check":true}"#,
                "",
                "",
            ),
            (
                Event::EjectUnhealthy(active),
                r#","eject_unhealthy_event":{"failure_type":"ACTIVE","http_status_code":503}"#,
                "",
                "",
            ),
            (
                Event::Failed {
                    failure: Failure::Timeout,
                    first: false,
                },
                "",
                r#","health_check_failure_event":{"failure_type":"NETWORK_TIMEOUT","first_check":false,"http_status_code":0}"#,
                "",
            ),
            (Event::Degraded, "", r#","degraded_healthy_host":{}"#, ""),
            (
                Event::Succeeded,
                "",
                "",
                r#","successful_health_check_event":{}"#,
            ),
        ] {
            let expected = format!("{head}{before}{time}{after}{tail}{end}}}\n");
            assert_eq!(of(event), expected);
        }
    }
}
