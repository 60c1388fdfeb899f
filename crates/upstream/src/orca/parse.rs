//! From headers to a report, in the three forms that Envoy's `parseOrcaLoadReportHeaders` takes: text, JSON, and base64 of
//! the message.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use nuncio_http::HeaderMap;
use prost::Message;
use serde_json::{Map, Value};

use super::{OrcaError, OrcaReport};

/// gRPC for Go sends no padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The report in a response's headers or trailers; `None` when there is none. Its size is limited by theirs.
///
/// # Errors
/// What is there is no report.
pub fn parse(headers: &HeaderMap) -> Option<Result<OrcaReport, OrcaError>> {
    if let Some(value) = headers.get_str("endpoint-load-metrics-bin") {
        return Some(binary(value));
    }
    let value = headers.get_str("endpoint-load-metrics")?;
    let report = if let Some(value) = value.strip_prefix(b"BIN ") {
        binary(value)
    } else if let Some(value) = value.strip_prefix(b"TEXT ") {
        text(value)
    } else if let Some(value) = value.strip_prefix(b"JSON ") {
        json(value)
    } else {
        Err(OrcaError::Format)
    };
    Some(report)
}

fn binary(value: &[u8]) -> Result<OrcaReport, OrcaError> {
    let bytes = BASE64.decode(value).map_err(|_| OrcaError::Binary)?;
    if bytes.is_empty() {
        return Err(OrcaError::Binary);
    }
    let report = OrcaReport::decode(&*bytes).map_err(|_| OrcaError::Binary)?;
    report.is_finite().then_some(report).ok_or(OrcaError::Value)
}

/// `cpu_utilization=0.3, named_metrics.queue: 7`
fn text(value: &[u8]) -> Result<OrcaReport, OrcaError> {
    let value = std::str::from_utf8(value).map_err(|_| OrcaError::Name)?;
    let mut report = OrcaReport::default();
    let mut seen: Vec<&str> = Vec::new();
    for entry in value.split(',').map(str::trim_ascii) {
        if entry.is_empty() {
            continue;
        }
        let (name, number) = entry.split_once(['=', ':']).unwrap_or((entry, ""));
        if seen.contains(&name) {
            return Err(OrcaError::Duplicate);
        }
        let number: f64 = number.trim_ascii().parse().map_err(|_| OrcaError::Value)?;
        if !number.is_finite() || number < 0.0 {
            return Err(OrcaError::Value);
        }
        report.set(name, number)?;
        // A report has a handful of metrics; a peer that sends thousands gets no quadratic work for it.
        if seen.len() == MAX_TEXT_METRICS {
            return Err(OrcaError::Name);
        }
        seen.push(name);
    }
    Ok(report)
}

/// The most metrics that a report in text form may have.
const MAX_TEXT_METRICS: usize = 256;

impl OrcaReport {
    fn set(&mut self, name: &str, number: f64) -> Result<(), OrcaError> {
        let (map, key) = if let Some(key) = name.strip_prefix("utilization.") {
            (&mut self.utilization, key)
        } else if let Some(key) = name.strip_prefix("named_metrics.") {
            (&mut self.named_metrics, key)
        } else {
            *self.number(name).ok_or(OrcaError::Name)? = number;
            return Ok(());
        };
        if key.is_empty() {
            return Err(OrcaError::Name);
        }
        map.insert(key.to_owned(), number);
        Ok(())
    }

    fn number(&mut self, name: &str) -> Option<&mut f64> {
        Some(match name {
            "cpu_utilization" => &mut self.cpu_utilization,
            "mem_utilization" => &mut self.mem_utilization,
            "application_utilization" => &mut self.application_utilization,
            "eps" => &mut self.eps,
            "rps_fractional" => &mut self.rps_fractional,
            _ => return None,
        })
    }

    pub(super) fn is_finite(&self) -> bool {
        let maps = [&self.request_cost, &self.utilization, &self.named_metrics];
        let numbers = [
            self.cpu_utilization,
            self.mem_utilization,
            self.application_utilization,
            self.eps,
            self.rps_fractional,
        ];
        let named = maps.into_iter().flat_map(|map| map.values()).copied();
        numbers.into_iter().chain(named).all(f64::is_finite)
    }
}

/// The message's JSON: proto names or JSON names, numbers or texts of numbers; nothing that the message does not have.
fn json(value: &[u8]) -> Result<OrcaReport, OrcaError> {
    let fields: Map<String, Value> = serde_json::from_slice(value).map_err(|_| OrcaError::Json)?;
    let mut report = OrcaReport::default();
    for (name, value) in &fields {
        let name = match name.as_str() {
            "cpuUtilization" => "cpu_utilization",
            "memUtilization" => "mem_utilization",
            "applicationUtilization" => "application_utilization",
            "rpsFractional" => "rps_fractional",
            "namedMetrics" => "named_metrics",
            "requestCost" => "request_cost",
            name => name,
        };
        if value.is_null() {
            continue;
        }
        let map = match name {
            "named_metrics" => &mut report.named_metrics,
            "request_cost" => &mut report.request_cost,
            "utilization" => &mut report.utilization,
            // An older field, which nobody reads.
            "rps" => {
                number(value)?;
                continue;
            }
            name => {
                *report.number(name).ok_or(OrcaError::Json)? = number(value)?;
                continue;
            }
        };
        let Value::Object(entries) = value else {
            return Err(OrcaError::Json);
        };
        for (key, value) in entries {
            map.insert(key.clone(), number(value)?);
        }
    }
    Ok(report)
}

fn number(value: &Value) -> Result<f64, OrcaError> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.ok_or(OrcaError::Json)?;
    number.is_finite().then_some(number).ok_or(OrcaError::Value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(name: &str, value: &str) -> Option<Result<OrcaReport, OrcaError>> {
        parse(&[(name, value)].into_iter().collect())
    }

    fn good(value: &str) -> OrcaReport {
        of("endpoint-load-metrics", value).unwrap().unwrap()
    }

    fn bad(value: &str) -> OrcaError {
        of("endpoint-load-metrics", value).unwrap().unwrap_err()
    }

    fn sample() -> OrcaReport {
        OrcaReport {
            cpu_utilization: 0.5,
            rps_fractional: 100.0,
            eps: 2.0,
            named_metrics: [("queue".to_owned(), 7.0)].into(),
            utilization: [("disk".to_owned(), 0.25)].into(),
            ..Default::default()
        }
    }

    #[test]
    fn all_forms_say_the_same() {
        let text = "TEXT cpu_utilization=0.5, rps_fractional:100, ,eps: 2,named_metrics.queue=7,utilization.disk=0.25";
        assert_eq!(good(text), sample());
        let json = r#"JSON {"cpu_utilization": 0.5, "rpsFractional": "100", "eps": 2, "rps": "3", "mem_utilization": null,
            "namedMetrics": {"queue": 7}, "utilization": {"disk": 0.25}}"#;
        assert_eq!(good(json), sample());
        let padded = base64::engine::general_purpose::STANDARD.encode(sample().encode_to_vec());
        assert_eq!(good(&format!("BIN {padded}")), sample());
        let bare = padded.trim_end_matches('=');
        let old = of("endpoint-load-metrics-bin", bare);
        assert_eq!(old.unwrap().unwrap(), sample());
    }

    #[test]
    fn no_header_no_report() {
        assert!(of("x-endpoint-load-metrics", "TEXT eps=1").is_none());
    }

    #[test]
    fn errors_are_told_apart() {
        assert_eq!(bad("cpu_utilization=0.5"), OrcaError::Format);
        assert_eq!(bad("TEXT cpu_utilization"), OrcaError::Value);
        assert_eq!(bad("TEXT cpu_utilization=x"), OrcaError::Value);
        assert_eq!(bad("TEXT cpu_utilization=inf"), OrcaError::Value);
        assert_eq!(bad("TEXT cpu_utilization=-1"), OrcaError::Value);
        assert_eq!(bad("TEXT colour=1"), OrcaError::Name);
        assert_eq!(bad("TEXT named_metrics.=1"), OrcaError::Name);
        assert_eq!(bad("TEXT eps=1,eps=2"), OrcaError::Duplicate);
        assert_eq!(bad("JSON {\"colour\": 1}"), OrcaError::Json);
        assert_eq!(bad("JSON [1]"), OrcaError::Json);
        assert_eq!(bad("BIN !"), OrcaError::Binary);
        assert_eq!(bad("BIN "), OrcaError::Binary);
        assert_eq!(bad("BIN aGVsbG8="), OrcaError::Binary);
    }

    #[test]
    fn many_metrics_are_no_report() {
        let many: String = (0..1000).map(|n| format!("named_metrics.{n}=1,")).collect();
        assert_eq!(bad(&format!("TEXT {many}")), OrcaError::Name);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered(value in prop::collection::vec(any::<u8>(), 0..64), form in 0..4) {
            let mut headers = HeaderMap::new();
            let prefix: &[u8] = [b"TEXT " as &[u8], b"JSON ", b"BIN ", b""][form as usize];
            headers.append("endpoint-load-metrics", &[prefix, &value].concat());
            if let Some(Ok(report)) = parse(&headers) {
                prop_assert!(report.is_finite());
            }
        }
    }
}
