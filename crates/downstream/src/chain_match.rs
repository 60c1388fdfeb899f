//! Which filter chain a connection belongs to (`envoy.config.listener.v3.FilterChainMatch`).
//!
//! Criteria are looked at in Envoy's order: destination port, destination address, server name,
//! transport protocol, application protocols, directly connected source, source type, source
//! address, source port. Each step keeps the most specific value that fits and forgets the others; nothing is
//! tried again when a later step finds no chain. So the index is a tree with one level per criterion.

mod ip_table;

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hashbrown::HashMap;
use nuncio_net::{Address, IpRange};

use ip_table::IpTable;

/// `ConnectionSourceType`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SourceType {
    /// Every source.
    #[default]
    Any,
    /// The source is this machine.
    SameIpOrLoopback,
    /// The source is another machine.
    External,
}

/// The criteria of one filter chain; what is empty matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// `destination_port`
    pub destination_port: Option<u16>,
    /// `prefix_ranges`: destination addresses.
    pub destinations: Vec<IpRange>,
    /// `server_names`, lower case; `*.example.com` stands for every name below `example.com`.
    pub server_names: Vec<String>,
    /// `transport_protocol`
    pub transport_protocol: String,
    /// `application_protocols`
    pub application_protocols: Vec<String>,
    /// `direct_source_prefix_ranges`
    pub direct_sources: Vec<IpRange>,
    /// `source_type`
    pub source_type: SourceType,
    /// `source_prefix_ranges`
    pub sources: Vec<IpRange>,
    /// `source_ports`
    pub source_ports: Vec<u16>,
}

impl Criteria {
    /// Whether every connection fits.
    pub fn is_unconditional(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of a connection when its filter chain is looked for.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'a> {
    /// Where it was connected to.
    pub local: &'a Address,
    /// Where it comes from, as listener filters say.
    pub remote: &'a Address,
    /// Where it comes from on the wire.
    pub direct_remote: &'a Address,
    /// The server name a listener filter has detected, lower case; empty when none has.
    pub server_name: &'a str,
    /// The transport protocol a listener filter has detected; `raw_buffer` when none has.
    pub transport_protocol: &'a str,
    /// The application protocols a listener filter has detected.
    pub application_protocols: &'a [&'a str],
}

impl<'a> ConnectionFacts<'a> {
    /// The facts of a connection that no listener filter has looked at.
    pub fn plain(local: &'a Address, remote: &'a Address) -> Self {
        Self {
            local,
            remote,
            direct_remote: remote,
            server_name: "",
            transport_protocol: "raw_buffer",
            application_protocols: &[],
        }
    }
}

/// Two filter chains that match the same connections, by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The chain that came first.
    pub first: usize,
    /// The chain that matches (some of) the same.
    pub second: usize,
}

/// Filter chains, found by their criteria.
#[derive(Debug, Default)]
pub struct ChainIndex {
    /// The usual case: one chain for everything.
    only: Option<usize>,
    ports: Ports,
}

type Ports = Level<u16, Destinations>;
type Destinations = IpTable<ServerNames>;
type ServerNames = Level<String, TransportProtocols>;
type TransportProtocols = Level<String, ApplicationProtocols>;
type ApplicationProtocols = Level<String, DirectSources>;
type DirectSources = IpTable<SourceTypes>;
type SourcePorts = Level<u16, Option<usize>>;

/// A level whose values are found by hash; the default key stands for "any".
#[derive(Debug)]
struct Level<K, V>(HashMap<K, V>);

impl<K, V> Default for Level<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Default> Level<K, V> {
    fn at(&mut self, key: K) -> &mut V {
        self.0.entry(key).or_default()
    }
}

#[derive(Debug, Default)]
struct SourceTypes {
    any: Option<IpTable<SourcePorts>>,
    local: Option<IpTable<SourcePorts>>,
    external: Option<IpTable<SourcePorts>>,
}

impl ChainIndex {
    /// The index of chains with these criteria; a chain is known by its position.
    ///
    /// # Errors
    /// [`Overlap`] when two chains would match the same connection.
    pub fn new(chains: &[Criteria]) -> Result<Self, Overlap> {
        if let [only] = chains
            && only.is_unconditional()
        {
            return Ok(Self {
                only: Some(0),
                ports: Level::default(),
            });
        }
        let mut index = Self::default();
        for (position, criteria) in chains.iter().enumerate() {
            index.insert(position, criteria)?;
        }
        Ok(index)
    }

    fn insert(&mut self, chain: usize, criteria: &Criteria) -> Result<(), Overlap> {
        let destinations = self.ports.at(criteria.destination_port.unwrap_or(0));
        for range in ranges(&criteria.destinations) {
            let server_names = destinations.at(range);
            for name in names(&criteria.server_names) {
                // `*.example.com` is kept as `.example.com`.
                let name = name.strip_prefix('*').unwrap_or(name);
                let applications = server_names
                    .at(name.to_owned())
                    .at(criteria.transport_protocol.clone());
                for protocol in names(&criteria.application_protocols) {
                    let direct_sources = applications.at(protocol.to_owned());
                    for range in ranges(&criteria.direct_sources) {
                        insert_source(direct_sources.at(range), chain, criteria)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The position of the chain that `facts` belong to.
    pub fn find(&self, facts: &ConnectionFacts<'_>) -> Option<usize> {
        if self.only.is_some() {
            return self.only;
        }
        let local = ip_of(facts.local);
        let ports = &self.ports.0;
        let exact = facts.local.port().and_then(|port| ports.get(&port));
        let server_names = exact.or_else(|| ports.get(&0))?.find(local.ip())?;
        let protocols = by_server_name(server_names, facts.server_name)?;
        let applications = or_any(protocols, facts.transport_protocol)?;
        let direct_sources = by_application(applications, facts.application_protocols)?;
        let types = direct_sources.find(ip_of(facts.direct_remote).ip())?;
        let remote = ip_of(facts.remote);
        let ports = &types.of(facts)?.find(remote.ip())?.0;
        *ports.get(&remote.port()).or_else(|| ports.get(&0))?
    }
}

fn insert_source(
    types: &mut SourceTypes,
    chain: usize,
    criteria: &Criteria,
) -> Result<(), Overlap> {
    let sources = match criteria.source_type {
        SourceType::Any => &mut types.any,
        SourceType::SameIpOrLoopback => &mut types.local,
        SourceType::External => &mut types.external,
    };
    let sources = sources.get_or_insert_default();
    for range in ranges(&criteria.sources) {
        let ports = sources.at(range);
        let any = [0];
        let wanted: &[u16] = match &criteria.source_ports[..] {
            [] => &any,
            some => some,
        };
        for port in wanted {
            if let Some(first) = ports.at(*port).replace(chain) {
                return Err(Overlap {
                    first,
                    second: chain,
                });
            }
        }
    }
    Ok(())
}

impl SourceTypes {
    fn of(&self, facts: &ConnectionFacts<'_>) -> Option<&IpTable<SourcePorts>> {
        let special = match (&self.local, &self.external) {
            (None, None) => None,
            (local, external) => {
                if is_same_machine(facts) {
                    local.as_ref()
                } else {
                    external.as_ref()
                }
            }
        };
        special.or(self.any.as_ref())
    }
}

/// `Utility::isSameIpOrLoopback`
fn is_same_machine(facts: &ConnectionFacts<'_>) -> bool {
    match (facts.remote.ip(), facts.local.ip()) {
        (Some(remote), local) => {
            remote.ip().is_loopback() || local.is_some_and(|local| local.ip() == remote.ip())
        }
        (None, _) => true,
    }
}

fn by_server_name<'a>(names: &'a ServerNames, name: &str) -> Option<&'a TransportProtocols> {
    if name.is_empty() {
        return names.0.get("");
    }
    if let Some(exact) = names.0.get(name) {
        return Some(exact);
    }
    // `.example.com`, then `.com`; a name that begins or ends with a dot has no wildcard there.
    let dots = name.bytes().enumerate().skip(1);
    dots.filter(|&(at, byte)| byte == b'.' && at + 1 < name.len())
        .find_map(|(at, _)| names.0.get(&name[at..]))
        .or_else(|| names.0.get(""))
}

fn by_application<'a>(
    applications: &'a ApplicationProtocols,
    protocols: &[&str],
) -> Option<&'a DirectSources> {
    protocols
        .iter()
        .filter(|protocol| !protocol.is_empty())
        .find_map(|&protocol| applications.0.get(protocol))
        .or_else(|| applications.0.get(""))
}

fn or_any<'a, V>(level: &'a Level<String, V>, key: &str) -> Option<&'a V> {
    level.0.get(key).or_else(|| level.0.get(""))
}

/// The address, or for a unix socket the one that Envoy takes in its place: only "any" fits it.
fn ip_of(address: &Address) -> SocketAddr {
    const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), 0);
    address.ip().unwrap_or(NO_ADDRESS)
}

/// "Any" is kept as the widest range of each family.
fn ranges(configured: &[IpRange]) -> Vec<IpRange> {
    if configured.is_empty() {
        vec![IpRange::ANY_V4, IpRange::ANY_V6]
    } else {
        configured.to_vec()
    }
}

fn names(configured: &[String]) -> impl Iterator<Item = &str> {
    let any = configured.is_empty().then_some("");
    configured.iter().map(String::as_str).chain(any)
}

#[cfg(test)]
mod tests;
