//! The settings of one health check (`config.core.v3.HealthCheck`), checked.

use std::time::Duration;

use nuncio_net::Address;

use super::{EventLog, GrpcCheck, HttpCheck, RedisCheck, TcpCheck, UdpCheck};

/// How often is asked, and how many answers count.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Tells several checks of a cluster apart, in the names of stats; may be empty when there is only one.
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    pub(crate) initial_jitter: Duration,
    pub(crate) interval_jitter: Duration,
    pub(crate) interval_jitter_percent: u32,
    pub(crate) unhealthy_threshold: u32,
    pub(crate) healthy_threshold: u32,
    pub(crate) no_traffic_interval: Duration,
    pub(crate) no_traffic_healthy_interval: Duration,
    pub(crate) unhealthy_interval: Duration,
    pub(crate) unhealthy_edge_interval: Duration,
    pub(crate) healthy_edge_interval: Duration,
    pub(crate) reuse_connection: bool,
    pub(crate) alt_port: Option<u16>,
    pub(crate) check: Check,
    /// `event_logger`
    pub(crate) events: Option<EventLog>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Http(HttpCheck),
    Tcp(TcpCheck),
    Grpc(GrpcCheck),
    Redis(RedisCheck),
    Udp(UdpCheck),
}

impl Check {
    /// `HealthCheckerType`, as events call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "HTTP",
            Self::Tcp(_) => "TCP",
            Self::Grpc(_) => "GRPC",
            Self::Redis(_) => "REDIS",
            Self::Udp(_) => "UDP",
        }
    }
}

impl Settings {
    /// Where a host at `address` is asked (`alt_port`; the host's own health check port comes before it).
    pub(crate) fn address_for(&self, address: &Address) -> Address {
        match self.alt_port {
            Some(port) => address.with_port(port),
            None => address.clone(),
        }
    }
}
