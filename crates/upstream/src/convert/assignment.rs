//! What EDS tells of a cluster: a message, or its bytes.

use std::sync::Arc;

use hashbrown::HashMap;
use nuncio_config::ConfigError;
use nuncio_config::api::endpoint::ClusterLoadAssignment;
use nuncio_config::assignment::{Pieces, PlainEndpoint, ReadEndpoint, ReadLocality, read};
use nuncio_net::Address;
use nuncio_sdk::metadata::DynamicMetadata;

use super::endpoints::{
    self, AssignmentOptions, EndpointAddress, EndpointSpec, LocalitySpec, Shared,
};
use super::{Errors, metadata};
use crate::host_set::PriorityOptions;
use crate::info::ClusterKind;

/// What EDS tells of a cluster.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) localities: Vec<LocalitySpec>,
    pub(crate) options: AssignmentOptions,
}

/// Checks and compiles what EDS tells; `priorities` are those of the cluster, of which the assignment's policy has its own.
///
/// # Errors
/// Everything that is wrong, with paths relative to the message.
pub(crate) fn assignment(
    message: ClusterLoadAssignment,
    priorities: PriorityOptions,
) -> Result<Assignment, Vec<ConfigError>> {
    let mut errors = Errors::default();
    let mut options = unless_told(priorities);
    let kind = Some(ClusterKind::Eds);
    let localities = endpoints::localities(message, kind, &mut options, &mut errors);
    errors.finish()?;
    Ok(Assignment {
        localities,
        options,
    })
}

/// The same of an encoded message that nobody has checked, without making a message of it. `None` when something is unusual or
/// wrong, or `cluster_name` is not `name`: then the message is to be checked, decoded and given to [`assignment`].
pub(crate) fn encoded_assignment(
    bytes: &[u8],
    name: &str,
    priorities: PriorityOptions,
) -> Option<Assignment> {
    let mut metadata = Metadata::default();
    let no_name = endpoints::no_name();
    let message = read(bytes, |endpoint| match endpoint {
        ReadEndpoint::Plain(endpoint) => plain(endpoint, &no_name, &mut metadata),
        ReadEndpoint::Other(message) => {
            without_errors(|errors| endpoints::endpoint(*message, false, errors)).flatten()
        }
    })?;
    if message.cluster_name != name {
        return None;
    }
    let mut options = unless_told(priorities);
    if let Some(policy) = message.policy {
        without_errors(|errors| endpoints::read_policy(policy, &mut options, errors))?;
    }
    let mut shared = Shared::default();
    let locality = |read: ReadLocality<EndpointSpec>| LocalitySpec {
        locality: shared.locality(read.locality),
        weight: read.weight,
        priority: read.priority,
        endpoints: read.endpoints,
    };
    Some(Assignment {
        localities: message.localities.into_iter().map(locality).collect(),
        options,
    })
}

fn unless_told(priorities: PriorityOptions) -> AssignmentOptions {
    let PriorityOptions {
        overprovisioning_factor,
        weighted_priority_health,
        ..
    } = PriorityOptions::default();
    AssignmentOptions {
        priorities: PriorityOptions {
            overprovisioning_factor,
            weighted_priority_health,
            ..priorities
        },
        drop_overload: None,
        stale_after: None,
    }
}

fn without_errors<T>(read: impl FnOnce(&mut Errors) -> T) -> Option<T> {
    let mut errors = Errors::default();
    let value = read(&mut errors);
    errors.finish().ok().map(|()| value)
}

fn plain<'a>(
    endpoint: PlainEndpoint<'a>,
    no_name: &Arc<str>,
    known: &mut Metadata<'a>,
) -> Option<EndpointSpec> {
    let PlainEndpoint {
        address,
        port,
        hostname,
        health_status,
        weight,
        metadata,
    } = endpoint;
    Some(EndpointSpec {
        address: EndpointAddress::Literal(Address::parse_ip(address, port).ok()?),
        additional: None,
        hostname: match hostname {
            "" => no_name.clone(),
            name => name.into(),
        },
        metadata: match metadata {
            None => None,
            Some(bytes) => known.get(bytes)?,
        },
        weight: weight.unwrap_or(1),
        health: endpoints::health_flags(health_status)?,
        health_check: None,
    })
}

/// Metadata that were met; many endpoints have the same.
#[derive(Default)]
struct Metadata<'a> {
    known: HashMap<&'a [u8], Option<Arc<DynamicMetadata>>>,
    pieces: Pieces,
}

impl<'a> Metadata<'a> {
    fn get(&mut self, bytes: &'a [u8]) -> Option<Option<Arc<DynamicMetadata>>> {
        if let Some(known) = self.known.get(bytes) {
            return Some(known.clone());
        }
        let message = self.pieces.read(bytes)?;
        let metadata = without_errors(|errors| metadata::metadata(Some(message), errors))?;
        self.known.insert(bytes, metadata.clone());
        Some(metadata)
    }
}

#[cfg(test)]
mod tests;
