//! Filter chains: their criteria and their filter.

use std::sync::Arc;

use nuncio_config::api::core::{CidrRange, TransportSocket, transport_socket};
use nuncio_config::api::listener::filter::ConfigType;
use nuncio_config::api::listener::filter_chain_match::ConnectionSourceType;
use nuncio_config::api::{Any, listener as proto, raw_buffer};
use nuncio_config::{ConfigError, Within, any, convert};
use nuncio_net::{Address, IpRange};
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::{FactoryContext, NetworkFilterConfig};

use super::{Chains, collect};
use crate::chain_match::{ChainIndex, Criteria, SourceType};
use crate::spec::{FilterChain, ListenerSpec};

/// Makes the filter chains of one listener.
pub(super) struct Maker<'a> {
    /// With the stat prefix `listener.<address>.`.
    pub(super) context: FactoryContext<'a>,
    /// Where chains that are unchanged are taken from.
    pub(super) previous: Option<&'a ListenerSpec>,
}

impl Maker<'_> {
    pub(super) fn make(
        &self,
        chains: &[proto::FilterChain],
        default: Option<&proto::FilterChain>,
    ) -> Result<Chains, Vec<ConfigError>> {
        let mut errors = Vec::new();
        if chains.is_empty() && default.is_none() {
            errors.push(ConfigError::new(
                "filter_chains",
                "no filter chains specified",
            ));
        }
        let mut made = Vec::with_capacity(chains.len());
        let mut criteria = Vec::with_capacity(chains.len());
        for (index, chain) in chains.iter().enumerate() {
            let place = format!("filter_chains[{index}]");
            let wanted = criteria_of(chain)
                .within("filter_chain_match")
                .within(&place);
            match wanted {
                Ok(wanted) => criteria.push(wanted),
                Err(error) => errors.push(error),
            }
            made.extend(collect(&mut errors, self.chain(chain, &place)));
        }
        // Its criteria are ignored, as Envoy does.
        let default = default
            .and_then(|chain| collect(&mut errors, self.chain(chain, "default_filter_chain")));
        let index = if criteria.len() == chains.len() {
            index(chains, &criteria)
                .map_err(|error| errors.push(error))
                .ok()
        } else {
            None
        };
        match index {
            Some(index) if errors.is_empty() => Ok(Chains {
                chains: made,
                default,
                index,
            }),
            _ => Err(errors),
        }
    }

    #[expect(
        deprecated,
        reason = "deprecated fields are decided on like the others"
    )]
    fn chain(
        &self,
        chain: &proto::FilterChain,
        place: &str,
    ) -> Result<Arc<FilterChain>, Vec<ConfigError>> {
        if let Some(same) = self
            .previous
            .and_then(|previous| unchanged(previous, chain))
        {
            return Ok(same);
        }
        let proto::FilterChain {
            filter_chain_match: _,
            filters,
            use_proxy_proto,
            metadata,
            transport_socket,
            // Plain text is connected at once.
            transport_socket_connect_timeout,
            name,
        } = chain;
        let mut errors = Vec::new();
        if convert::bool_or(use_proxy_proto.as_ref(), false) {
            let message = "unsupported: the PROXY protocol";
            errors.push(ConfigError::new("use_proxy_proto", message));
        }
        errors.extend(
            transport_socket
                .as_ref()
                .and_then(|socket| raw_only(socket).err()),
        );
        let timeout = convert::opt_duration(transport_socket_connect_timeout.as_ref());
        errors.extend(timeout.within("transport_socket_connect_timeout").err());
        let filter = collect(&mut errors, self.filter(filters));
        match filter {
            Some(filter) if errors.is_empty() => Ok(Arc::new(FilterChain {
                name: name.as_str().into(),
                metadata: DynamicMetadata::of_message(metadata.as_ref()),
                filter,
            })),
            _ => Err(errors
                .into_iter()
                .map(|error| error.within(place))
                .collect()),
        }
    }

    /// The one filter of a chain. All that exist are terminal, so there is at most one.
    fn filter(
        &self,
        filters: &[proto::Filter],
    ) -> Result<Option<Arc<dyn NetworkFilterConfig>>, Vec<ConfigError>> {
        let mut made = None;
        let mut errors = Vec::new();
        for (index, filter) in filters.iter().enumerate() {
            let proto::Filter { name, config_type } = filter;
            let place = format!("filters[{index}]");
            let config = match config_type {
                Some(ConfigType::TypedConfig(config)) => config.clone(),
                Some(ConfigType::ConfigDiscovery(_)) => {
                    let message = "unsupported: filter discovery needs xDS";
                    errors.push(ConfigError::new("config_discovery", message).within(place));
                    continue;
                }
                None => Any::default(),
            };
            let type_name = match config_type {
                Some(_) => any::type_of(&config),
                None => "",
            };
            let factory = self.context.server.extensions.network_filter(type_name);
            let Some(factory) = factory else {
                let message = format!(
                    "Didn't find a registered implementation for '{name}' with type URL: '{type_name}'"
                );
                errors.push(ConfigError::new(place, message));
                continue;
            };
            if index + 1 < filters.len() {
                let message = format!(
                    "Error: terminal filter named {name} of type {} must be the last filter in a \
                     network filter chain.",
                    factory.name()
                );
                errors.push(ConfigError::new(place, message));
                continue;
            }
            match factory.create(&config, &self.context.named(name)) {
                Ok(filter) => made = Some(filter),
                Err(more) => {
                    let of_config = more.into_iter().map(|error| error.within("typed_config"));
                    errors.extend(of_config.map(|error| error.within(&place)));
                }
            }
        }
        if errors.is_empty() {
            Ok(made)
        } else {
            Err(errors)
        }
    }
}

/// The chain of `previous` that was made from an equal message.
fn unchanged(previous: &ListenerSpec, chain: &proto::FilterChain) -> Option<Arc<FilterChain>> {
    let proto = &previous.proto;
    let made = previous.chains.iter().chain(&previous.default_chain);
    let mut from = proto
        .filter_chains
        .iter()
        .chain(&proto.default_filter_chain)
        .zip(made);
    from.find(|(old, _)| *old == chain)
        .map(|(_, made)| Arc::clone(made))
}

/// Plain text is the only transport there is.
fn raw_only(socket: &TransportSocket) -> Result<(), ConfigError> {
    let TransportSocket { name, config_type } = socket;
    let type_name = match config_type {
        Some(transport_socket::ConfigType::TypedConfig(config)) => {
            if any::is::<raw_buffer::RawBuffer>(config) {
                return any::unpack::<raw_buffer::RawBuffer>(config)
                    .map(drop)
                    .within("typed_config")
                    .within("transport_socket");
            }
            any::type_of(config)
        }
        None => "",
    };
    let message = format!(
        "Didn't find a registered implementation for '{name}' with type URL: '{type_name}'"
    );
    Err(ConfigError::new("transport_socket", message)
        .with_remedy("only envoy.transport_sockets.raw_buffer is supported"))
}

fn index(chains: &[proto::FilterChain], criteria: &[Criteria]) -> Result<ChainIndex, ConfigError> {
    ChainIndex::new(criteria).map_err(|overlap| {
        let (first, second) = (&chains[overlap.first], &chains[overlap.second]);
        let same = first.filter_chain_match.clone().unwrap_or_default()
            == second.filter_chain_match.clone().unwrap_or_default();
        let message = if same {
            format!(
                "filter chain '{}' has the same matching rules defined as '{}'",
                second.name, first.name
            )
        } else {
            "multiple filter chains with overlapping matching rules are defined".to_owned()
        };
        ConfigError::new(format!("filter_chains[{}]", overlap.second), message)
    })
}

fn criteria_of(chain: &proto::FilterChain) -> Result<Criteria, ConfigError> {
    let Some(wanted) = &chain.filter_chain_match else {
        return Ok(Criteria::default());
    };
    let proto::FilterChainMatch {
        destination_port,
        prefix_ranges,
        address_suffix,
        suffix_len,
        direct_source_prefix_ranges,
        source_type,
        source_prefix_ranges,
        source_ports,
        server_names,
        transport_protocol,
        application_protocols,
    } = wanted;
    if !address_suffix.is_empty() || suffix_len.is_some() {
        let message = format!(
            "filter chain '{}' contains unimplemented fields",
            chain.name
        );
        return Err(ConfigError::new("", message));
    }
    let port = |field: &str, port: u32| match u16::try_from(port) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(ConfigError::new(
            field,
            "value must be inside range [1, 65535]",
        )),
    };
    Ok(Criteria {
        destination_port: destination_port
            .as_ref()
            .map(|given| port("destination_port", given.value))
            .transpose()?,
        destinations: ranges(prefix_ranges, "prefix_ranges")?,
        server_names: server_names
            .iter()
            .enumerate()
            .map(|(index, name)| server_name(name).within_index("server_names", index))
            .collect::<Result<_, _>>()?,
        transport_protocol: transport_protocol.clone(),
        application_protocols: application_protocols.clone(),
        direct_sources: ranges(direct_source_prefix_ranges, "direct_source_prefix_ranges")?,
        source_type: match ConnectionSourceType::try_from(*source_type) {
            Ok(ConnectionSourceType::Any) => SourceType::Any,
            Ok(ConnectionSourceType::SameIpOrLoopback) => SourceType::SameIpOrLoopback,
            Ok(ConnectionSourceType::External) => SourceType::External,
            Err(_) => {
                let message = format!("unknown enum value {source_type}");
                return Err(ConfigError::new("source_type", message));
            }
        },
        sources: ranges(source_prefix_ranges, "source_prefix_ranges")?,
        source_ports: source_ports
            .iter()
            .map(|&given| port("source_ports", given))
            .collect::<Result<_, _>>()?,
    })
}

fn server_name(name: &str) -> Result<String, ConfigError> {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if rest.contains('*') {
        let message = "partial wildcards are not supported in \"server_names\"";
        return Err(ConfigError::new("", message));
    }
    Ok(name.to_ascii_lowercase())
}

fn ranges(ranges: &[CidrRange], field: &str) -> Result<Vec<IpRange>, ConfigError> {
    ranges
        .iter()
        .enumerate()
        .map(|(index, range)| {
            let CidrRange {
                address_prefix,
                prefix_len,
            } = range;
            let address = Address::parse_ip(address_prefix, 0)
                .map_err(|error| ConfigError::new("address_prefix", error.to_string()))
                .within_index(field, index)?;
            let length = convert::u32_or(prefix_len.as_ref(), 0);
            // `parse_ip` makes nothing but IP addresses.
            Ok(address
                .ip()
                .map_or(IpRange::ANY_V4, |ip| IpRange::new(ip.ip(), length)))
        })
        .collect()
}
