//! The JSON lines of `cluster_manager.outlier_detection.event_log_path` (`envoy.data.cluster.v3.OutlierDetectionEvent`).

use std::fmt::{self, Write};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use nuncio_config::json;
use nuncio_strftime::{TimeFormat, Zone};

use super::Ejection;

/// Where events go: a file, in which each call puts one line.
pub trait OutlierEventLog: Send + Sync {
    /// Writes a line, its end included.
    fn write(&self, line: &str);
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event<'a> {
    pub(super) cluster: &'a str,
    pub(super) address: String,
    pub(super) time: SystemTime,
    pub(super) since_last_action: Option<Duration>,
    pub(super) ejections: u32,
    pub(super) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Action {
    Eject {
        ejection: Ejection,
        enforced: bool,
        rates: Rates,
    },
    Uneject,
}

/// What success rates were like, in percent, where they were the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) host: f64,
    pub(super) average: f64,
    pub(super) threshold: f64,
}

impl Event<'_> {
    /// The line, its end included.
    pub(super) fn line(&self) -> String {
        let mut line = String::with_capacity(256);
        // Writing to a `String` cannot fail.
        let _ = self.write(&mut line);
        line
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        // As in Envoy the end of an ejection does not tell its kind: the enum's first value stands there.
        let (kind, name, enforced) = match self.action {
            Action::Eject {
                ejection, enforced, ..
            } => (ejection.as_str(), "EJECT", enforced),
            Action::Uneject => (Ejection::Consecutive5xx.as_str(), "UNEJECT", false),
        };
        write!(
            out,
            r#"{{"type":"{kind}","timestamp":"{}""#,
            timestamp(self.time)
        )?;
        if let Some(since) = self.since_last_action {
            write!(out, r#","secs_since_last_action":"{}""#, since.as_secs())?;
        }
        write!(
            out,
            r#","cluster_name":{},"upstream_url":{},"action":"{name}","num_ejections":{},"enforced":{enforced}"#,
            json::quoted(self.cluster),
            json::quoted(&self.address),
            self.ejections
        )?;
        if let Action::Eject {
            ejection, rates, ..
        } = self.action
        {
            // Whole percents, as the message has integers.
            let Rates {
                host,
                average,
                threshold,
            } = rates;
            let (host, average, threshold) = (host as u32, average as u32, threshold as u32);
            match ejection {
                Ejection::SuccessRate | Ejection::SuccessRateLocalOrigin => write!(
                    out,
                    r#","eject_success_rate_event":{{"host_success_rate":{host},"cluster_average_success_rate":{average},"cluster_success_rate_ejection_threshold":{threshold}}}"#
                )?,
                Ejection::FailurePercentage | Ejection::FailurePercentageLocalOrigin => write!(
                    out,
                    r#","eject_failure_percentage_event":{{"host_success_rate":{host}}}"#
                )?,
                _ => out.push_str(r#","eject_consecutive_event":{}"#),
            }
        }
        out.push_str("}\n");
        Ok(())
    }
}

/// As protobuf's JSON has it, with milliseconds.
pub(crate) fn timestamp(time: SystemTime) -> String {
    static FORMAT: LazyLock<TimeFormat> = LazyLock::new(|| {
        TimeFormat::parse("%Y-%m-%dT%H:%M:%S.%3fZ", Zone::Utc).expect("a format without line feed")
    });
    let mut text = Vec::with_capacity(24);
    FORMAT.write(time, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: Action) -> Event<'static> {
        Event {
            cluster: "u\"p",
            address: "127.0.0.1:80".into(),
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_367_129_142),
            since_last_action: None,
            ejections: 1,
            action,
        }
    }

    #[test]
    fn lines_are_envoys() {
        let eject = event(Action::Eject {
            ejection: Ejection::Consecutive5xx,
            enforced: true,
            rates: Rates::default(),
        });
        assert_eq!(
            eject.line(),
            "{\"type\":\"CONSECUTIVE_5XX\",\"timestamp\":\"2026-11-22T17:05:29.142Z\",\"cluster_name\":\"u\\\"p\",\"upstream_url\":\"127.0.0.1:80\",\
             \"action\":\"EJECT\",\"num_ejections\":1,\"enforced\":true,\"eject_consecutive_event\":{}}\n"
        );
        let uneject = Event {
            since_last_action: Some(Duration::from_millis(3999)),
            ..event(Action::Uneject)
        };
        assert_eq!(
            uneject.line(),
            "{\"type\":\"CONSECUTIVE_5XX\",\"timestamp\":\"2026-11-22T17:05:29.142Z\",\"secs_since_last_action\":\"3\",\"cluster_name\":\"u\\\"p\",\
             \"upstream_url\":\"127.0.0.1:80\",\"action\":\"UNEJECT\",\"num_ejections\":1,\"enforced\":false}\n"
        );
    }

    #[test]
    fn rates_are_whole_percents() {
        let line = event(Action::Eject {
            ejection: Ejection::SuccessRate,
            enforced: false,
            rates: Rates {
                host: 33.9,
                average: 80.0,
                threshold: 52.3,
            },
        })
        .line();
        assert!(line.contains(
            r#""eject_success_rate_event":{"host_success_rate":33,"cluster_average_success_rate":80,"cluster_success_rate_ejection_threshold":52}"#
        ), "{line}");
    }
}
