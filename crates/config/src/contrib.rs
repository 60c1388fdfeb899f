//! Messages of Envoy's contrib extensions, which `envoy-types` does not have.

use envoy_types::pb::google::protobuf::{DoubleValue, Duration, UInt32Value};

/// `envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma`
#[derive(Clone, PartialEq, prost::Message)]
pub struct PeakEwma {
    /// How quickly measurements lose their say; 10 s unless told.
    #[prost(message, optional, tag = "1")]
    pub decay_time: Option<Duration>,
    /// How often workers put their measurements together.
    #[prost(message, optional, tag = "2")]
    pub aggregation_interval: Option<Duration>,
    /// How many measurements a worker keeps until then.
    #[prost(message, optional, tag = "3")]
    pub max_samples_per_host: Option<UInt32Value>,
    /// What a host is held to take that was not measured; 10 ms unless told.
    #[prost(message, optional, tag = "4")]
    pub default_rtt: Option<Duration>,
    /// What a host costs that has requests but no measurement; 1,000,000 unless told.
    #[prost(message, optional, tag = "5")]
    pub penalty_value: Option<DoubleValue>,
}

impl prost::Name for PeakEwma {
    const NAME: &'static str = "PeakEwma";
    const PACKAGE: &'static str = "envoy.extensions.load_balancing_policies.peak_ewma.v3alpha";
}
