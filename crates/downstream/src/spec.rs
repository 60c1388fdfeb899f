//! A listener as it was configured, checked: what is past the configuration boundary.

use std::sync::Arc;

use nuncio_config::api::listener as proto;
use nuncio_net::{Address, ListenOptions};
use nuncio_sdk::{AccessLogger, NetworkFilterConfig};

use crate::chain_match::ChainIndex;

/// `Listener.drain_type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainType {
    /// Drains on update, removal, hot restart and failed health checks.
    Default,
    /// Does not drain on failed health checks.
    ModifyOnly,
}

/// `Listener.traffic_direction`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficDirection {
    /// Not said.
    Unspecified,
    /// Traffic to this machine's services.
    Inbound,
    /// Traffic from this machine's services.
    Outbound,
}

/// One address of a listener and how its sockets are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Where; port 0 takes a free one.
    pub address: Address,
    /// With which options.
    pub options: ListenOptions,
}

/// A filter chain. Shared by the workers and by successive versions of its listener that have it
/// unchanged; which is how an update in place knows the connections that may stay.
pub struct FilterChain {
    /// `FilterChain.name`; may be empty.
    pub name: Arc<str>,
    /// What serves its connections; `None` closes them, as Envoy does when there are no filters.
    pub filter: Option<Arc<dyn NetworkFilterConfig>>,
}

/// A checked listener. Immutable, shared by the workers.
pub struct ListenerSpec {
    /// `name`, or a made-up unique one.
    pub name: Arc<str>,
    /// `address`, then `additional_addresses`.
    pub addresses: Vec<ListenAddress>,
    /// What the names of its stats begin with: `listener.<address or stat_prefix>`.
    pub stat_prefix: String,
    /// `bind_to_port`: without, it has no sockets.
    pub bind_to_port: bool,
    /// `per_connection_buffer_limit_bytes`: soft limit per connection and direction, in bytes.
    pub buffer_limit: u32,
    /// `max_connections_to_accept_per_socket_event`; `u32::MAX` when there is no limit.
    pub max_accepts: u32,
    /// `drain_type`
    pub drain_type: DrainType,
    /// `traffic_direction`
    pub direction: TrafficDirection,
    /// `ignore_global_conn_limit`
    pub ignore_global_limit: bool,
    /// `access_log`: one entry per connection, at its end.
    pub access_logs: Vec<Arc<dyn AccessLogger>>,
    /// `filter_chains`
    pub chains: Vec<Arc<FilterChain>>,
    /// `default_filter_chain`: for connections that no chain matches.
    pub default_chain: Option<Arc<FilterChain>>,
    /// Finds the chain of a connection.
    pub index: ChainIndex,
    /// The message it was made from, with its name filled in.
    pub proto: Arc<proto::Listener>,
}

impl ListenerSpec {
    /// Whether `other` differs at most in its filter chains, so that it can replace this listener
    /// in place.
    pub fn differs_in_chains_only(&self, other: &proto::Listener) -> bool {
        without_chains(&self.proto) == without_chains(other)
    }
}

/// Everything of a listener that cannot change in place. Costs a copy; updates are rare.
fn without_chains(listener: &proto::Listener) -> proto::Listener {
    proto::Listener {
        filter_chains: Vec::new(),
        default_filter_chain: None,
        ..listener.clone()
    }
}
