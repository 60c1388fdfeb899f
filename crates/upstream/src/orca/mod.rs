//! Load reports of endpoints (Open Request Cost Aggregation). They come with answers, in the header or trailer
//! `endpoint-load-metrics` (`endpoint-load-metrics-bin` of older gRPC servers), or [out of band](OutOfBand).
//!
//! Nothing here runs for a cluster whose policy does not ask for reports and that has no `lrs_report_endpoint_metrics`.

mod metrics;
pub(crate) mod out_of_band;
mod parse;

use std::collections::HashMap;
use std::fmt;

pub use metrics::MetricNames;
pub(crate) use metrics::{MetricSums, ReportedMetrics};
pub use out_of_band::OutOfBand;
pub use parse::parse;

/// `xds.data.orca.v3.OrcaLoadReport`: numbers are finite.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OrcaReport {
    /// Share of the CPU that is used; may be above 1.
    #[prost(double, tag = "1")]
    pub cpu_utilization: f64,
    /// Share of the memory that is used.
    #[prost(double, tag = "2")]
    pub mem_utilization: f64,
    /// Costs of this request, by name.
    #[prost(map = "string, double", tag = "4")]
    pub request_cost: HashMap<String, f64>,
    /// Shares of resources that are used, by name.
    #[prost(map = "string, double", tag = "5")]
    pub utilization: HashMap<String, f64>,
    /// Requests per second of the endpoint, from all its clients.
    #[prost(double, tag = "6")]
    pub rps_fractional: f64,
    /// Errors per second of the endpoint.
    #[prost(double, tag = "7")]
    pub eps: f64,
    /// Whatever the application tells, by name.
    #[prost(map = "string, double", tag = "8")]
    pub named_metrics: HashMap<String, f64>,
    /// Utilization as the application sees it.
    #[prost(double, tag = "9")]
    pub application_utilization: f64,
}

/// The body of the fuzz target `reports`: the first byte tells how large the pieces are in which the rest comes, as the answer to
/// a call out of band and to a gRPC health check; then it comes as a header, in each format. Never panics, and holds no
/// more than it may.
pub fn fuzz_one(input: &[u8]) {
    let Some((&size, body)) = input.split_first() else {
        return;
    };
    let pieces = || body.chunks(usize::from(size) + 1);
    out_of_band::read_all(pieces());
    crate::health::read_grpc_answer(pieces());
    for format in ["TEXT ", "JSON ", "BIN ", ""] {
        let mut headers = nuncio_http::HeaderMap::new();
        let value = [format.as_bytes(), body].concat();
        headers.append("endpoint-load-metrics", &value);
        if let Some(Ok(report)) = parse(&headers) {
            assert!(report.is_finite());
        }
    }
}

/// Why a report is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrcaError {
    /// Neither `TEXT`, `JSON` nor `BIN`.
    Format,
    /// A metric without a name, or with one that is not known.
    Name,
    /// A value that is missing, no number, not finite or negative.
    Value,
    /// A metric is there twice.
    Duplicate,
    /// No base64, or not the message.
    Binary,
    /// Not the message's JSON.
    Json,
    /// `rps_fractional` is not above 0, so no weight follows.
    Rate,
    /// The utilization is not above 0, so no weight follows.
    Utilization,
}

impl fmt::Display for OrcaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "unsupported ORCA header format",
            Self::Name => "unsupported metric name",
            Self::Value => "unable to parse custom backend load metric value",
            Self::Duplicate => "endpoint-load-metrics contains duplicate metric",
            Self::Binary => "unable to parse binaryheader to OrcaLoadReport",
            Self::Json => "unable to parse JSON as OrcaLoadReport",
            Self::Rate => "QPS must be positive",
            Self::Utilization => "Utilization must be positive",
        })
    }
}
