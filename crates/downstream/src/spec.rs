//! A listener as it was configured, checked: what is past the configuration boundary.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use nuncio_config::{ConfigError, api::listener as proto};
use nuncio_net::{Address, ListenOptions};
use nuncio_sdk::listener::{AcceptedConnection, ListenerFilter};
use nuncio_sdk::metadata::DynamicMetadata;
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
    /// `FilterChain.metadata`
    pub metadata: Option<Arc<DynamicMetadata>>,
    /// What serves its connections; `None` closes them, as Envoy does when there are no filters.
    pub filter: Option<Arc<dyn NetworkFilterConfig>>,
}

/// `listener_filters`
pub struct ListenerFilters {
    /// In order; never empty.
    pub filters: Vec<ListenerFilterEntry>,
    /// `listener_filters_timeout`; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// `continue_on_listener_filters_timeout`: a connection that takes too long goes on as it is.
    pub continue_on_timeout: bool,
    /// `use_original_dst`: a connection goes to the listener at its original destination, if there is one.
    pub hand_over: bool,
}

/// One listener filter.
pub struct ListenerFilterEntry {
    /// The filter.
    pub filter: Arc<dyn ListenerFilter>,
    /// `filter_disabled`: connections that pass it by.
    pub disabled: Option<Predicate>,
}

/// `ListenerFilterChainMatchPredicate`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// `or_match`
    Any(Vec<Self>),
    /// `and_match`
    All(Vec<Self>),
    /// `not_match`
    Not(Box<Self>),
    /// `any_match`
    Always,
    /// `destination_port_range`, without its end.
    Port(Range<i32>),
}

impl Predicate {
    /// Whether the predicate holds for a connection as the filters before have left it.
    pub fn matches(&self, connection: &AcceptedConnection) -> bool {
        self.matches_port(connection.local_address.port())
    }

    /// The destination's port is all that is looked at; other sockets have none.
    fn matches_port(&self, port: Option<u16>) -> bool {
        match self {
            Self::Any(rules) => rules.iter().any(|rule| rule.matches_port(port)),
            Self::All(rules) => rules.iter().all(|rule| rule.matches_port(port)),
            Self::Not(rule) => !rule.matches_port(port),
            Self::Always => true,
            Self::Port(range) => port.is_some_and(|port| range.contains(&port.into())),
        }
    }
}

/// A checked listener. Immutable, shared by the workers.
pub struct ListenerSpec {
    /// `name`, or a made-up unique one.
    pub name: Arc<str>,
    /// `metadata`
    pub metadata: Option<Arc<DynamicMetadata>>,
    /// `address`, then `additional_addresses`.
    pub addresses: Vec<ListenAddress>,
    /// What the names of its stats begin with: `listener.<address or stat_prefix>`.
    pub stat_prefix: String,
    /// `bind_to_port`: without, it has no sockets.
    pub bind_to_port: bool,
    /// `per_connection_buffer_limit_bytes`: soft limit per connection and direction, in bytes; never zero.
    pub buffer_limit: u32,
    /// `max_connections_to_accept_per_socket_event`; `u32::MAX` when there is no limit.
    pub max_accepts: u32,
    /// `drain_type`
    pub drain_type: DrainType,
    /// `traffic_direction`
    pub direction: TrafficDirection,
    /// `ignore_global_conn_limit`
    pub ignore_global_limit: bool,
    /// What looks at connections before they get a filter chain; `None` without any.
    pub listener_filters: Option<ListenerFilters>,
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
    /// Why this listener cannot stand beside these others, (name, addresses): one of them has one of its addresses, whether they
    /// bind to it or not (Envoy's rule). Ports that the system chooses are never the same.
    pub fn duplicate_address<'a>(
        &self,
        others: impl Iterator<Item = (&'a str, &'a [ListenAddress])>,
    ) -> Option<ConfigError> {
        let theirs: Vec<_> = others
            .flat_map(|(name, addresses)| addresses.iter().map(move |their| (name, their)))
            .collect();
        let (wanted, owner) = self.addresses.iter().find_map(|wanted| {
            let chosen = wanted.address.port() != Some(0);
            let mut theirs = theirs.iter().filter(|_| chosen);
            let (owner, _) = theirs.find(|(_, their)| their.address == wanted.address)?;
            Some((&wanted.address, *owner))
        })?;
        let message = format!(
            "error adding listener: '{}' has duplicate address '{wanted}' as existing listener, to \
             check if the listener has duplicated addresses with other listeners or \
             'enable_reuse_port' is set to 'false' for the listener",
            self.name
        );
        let error = ConfigError::new("address", message);
        Some(error.with_remedy(format!(
            "listener '{owner}' has it: one listener for each address"
        )))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates_look_at_the_port() {
        let port = Predicate::Port(80..90);
        let not = Predicate::Not(Box::new(port.clone()));
        for (predicate, matches) in [
            (port.clone(), [true, false, false]),
            (not.clone(), [false, true, true]),
            (Predicate::Always, [true; 3]),
            (Predicate::Any(vec![port.clone(), not.clone()]), [true; 3]),
            (Predicate::All(vec![port, not]), [false; 3]),
        ] {
            let seen = [Some(80), Some(90), None].map(|port| predicate.matches_port(port));
            assert_eq!(seen, matches, "{predicate:?}");
        }
    }
}
