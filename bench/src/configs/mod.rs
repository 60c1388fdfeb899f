//! The configuration texts of the proxies and the origin.

pub(crate) mod endpoints;
pub(crate) mod envoy;
pub(crate) mod haproxy;
pub(crate) mod nginx;

use std::path::PathBuf;

/// What is spoken without TLS on one side of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// With prior knowledge.
    Http2,
}

/// What a proxy is configured for.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Ports on loopback.
    pub(crate) listener: u16,
    pub(crate) admin: u16,
    pub(crate) origin: u16,
    pub(crate) downstream: Protocol,
    pub(crate) upstream: Protocol,
    /// Whether a request may take for ever (Envoy's route timeout is 15 s otherwise).
    pub(crate) patient: bool,
    /// Downstream connections that must fit.
    pub(crate) connections: u32,
    /// Where to write an access log.
    pub(crate) access_log: Option<PathBuf>,
    /// Switch off what Envoy's benchmarking advice switches off beside the breakers: request ids and dynamic stats.
    pub(crate) lean: bool,
}

/// A keep-alive time longer than any measurement, in seconds.
const LONG: u32 = 3_600;
