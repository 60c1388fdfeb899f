//! `ORIGINAL_DST` clusters: a request goes to where its connection was going before it was redirected here, or where a
//! trusted peer says. Hosts are made when the first request needs them.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use nuncio_config::api::protobuf::value::Kind;
use nuncio_net::Address;
use nuncio_sdk::filter_state::{AddressObject, ORIGINAL_DST_ADDRESS};

use super::{LbContext, LbEnv, LbPolicy, LoadBalancer};
use crate::host::Host;
use crate::host_set::PrioritySet;
use crate::on_demand::OnDemandHosts;
use crate::random::Random;
use crate::stats::ClusterStats as S;

/// `original_dst_lb_config`, and what the cluster says beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// `http_header_name`, lower case, if `use_http_header`: its first value may name the host.
    pub header: Option<Box<str>>,
    /// `metadata_key`: dynamic metadata of the stream that may name the host.
    pub metadata: Option<MetadataKey>,
    /// `upstream_port_override`
    pub port: Option<u16>,
    /// `cleanup_interval`: hosts that were not used for so long go.
    pub cleanup_interval: Duration,
}

/// A place in metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataKey {
    /// `key`
    pub namespace: Box<str>,
    /// `path`
    pub path: Box<[Box<str>]>,
}

/// The balancer of one version of an `ORIGINAL_DST` cluster.
#[derive(Debug)]
pub struct OriginalDst {
    options: Options,
    hosts: OnDemandHosts,
}

impl OriginalDst {
    /// For the cluster of this name.
    pub fn new(options: Options, cluster: &str) -> Self {
        Self {
            options,
            hosts: OnDemandHosts::new(cluster),
        }
    }

    /// The hosts that workers have made.
    pub(crate) fn hosts(&self) -> &OnDemandHosts {
        &self.hosts
    }

    pub(crate) fn cleanup_interval(&self) -> Duration {
        self.options.cleanup_interval
    }
}

impl LbPolicy for OriginalDst {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.cluster_provided"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        Box::new(Balancer {
            policy: self,
            made: HashMap::new(),
        })
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        // Each version has hosts of its own.
        let other = (other as &dyn Any).downcast_ref::<Self>();
        other.is_some_and(|other| std::ptr::eq(self, other))
    }
}

struct Balancer {
    policy: Arc<OriginalDst>,
    /// Hosts that this worker uses and that the main thread has not shown yet.
    made: HashMap<Address, Arc<Host>>,
}

impl LoadBalancer for Balancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        let options = &self.policy.options;
        let Some(mut address) = options.destination(cx, env) else {
            log::debug!("original_dst: no downstream connection or no original destination");
            return None;
        };
        if let Some(port) = options.port {
            address = Cow::Owned(address.with_port(port));
        }
        if let Some(host) = hosts.at_address(&address) {
            host.set_used();
            return Some(Cow::Borrowed(host));
        }
        if let Some(host) = self.made.get(&*address) {
            host.set_used();
            return Some(Cow::Owned(host.clone()));
        }
        // Only an internet address can be connected to.
        address.ip()?;
        let host = self.policy.hosts.find_or_make(&address)?;
        // In Envoy each worker makes its own, and chooses a transport socket for it.
        env.stats.inc(S::TOTAL_MATCH_COUNT);
        self.made.insert(address.into_owned(), host.clone());
        Some(Cow::Owned(host))
    }

    fn on_hosts(&mut self, hosts: &Arc<PrioritySet>) {
        if !self.made.is_empty() {
            self.made
                .retain(|address, _| hosts.at_address(address).is_none());
        }
    }

    fn keeps(&self, host: &Arc<Host>) -> bool {
        let made = self.made.get(host.address());
        made.is_some_and(|made| Arc::ptr_eq(made, host))
    }
}

impl Options {
    /// Where a request is to go, in Envoy's order: filter state, metadata, header, the connection's own destination.
    fn destination<'c>(&'c self, cx: &LbContext<'c>, env: &LbEnv) -> Option<Cow<'c, Address>> {
        let of_filters = cx
            .filter_state
            .and_then(|state| state.get_as::<AddressObject>(ORIGINAL_DST_ADDRESS));
        if let Some(object) = of_filters {
            return Some(Cow::Borrowed(&object.0));
        }
        let texts = [self.metadata_text(cx), self.header_text(cx)];
        for text in texts.into_iter().flatten() {
            let text = std::str::from_utf8(text).unwrap_or_default();
            match Address::parse_ip_and_port(text) {
                Ok(address) => return Some(Cow::Owned(address)),
                Err(error) => {
                    log::debug!("original_dst: invalid override: {error}");
                    env.stats.inc(S::ORIGINAL_DST_HOST_INVALID);
                }
            }
        }
        let connection = cx.downstream?;
        let restored = connection.local_address_restored;
        restored.then(|| Cow::Borrowed(&*connection.local_address))
    }

    fn metadata_text<'c>(&'c self, cx: &LbContext<'c>) -> Option<&'c [u8]> {
        let MetadataKey { namespace, path } = self.metadata.as_ref()?;
        let path = path.iter().map(|key| &**key);
        let mut value = cx.metadata?.get(namespace, path)?;
        // Of a list, the first.
        if let Some(Kind::ListValue(list)) = &value.kind {
            value = list.values.first()?;
        }
        match &value.kind {
            Some(Kind::StringValue(text)) => Some(text.as_bytes()),
            _ => None,
        }
    }

    fn header_text<'c>(&self, cx: &LbContext<'c>) -> Option<&'c [u8]> {
        let name = self.header.as_ref()?;
        cx.request_headers?.get_name(name.as_bytes())
    }
}

#[cfg(test)]
mod tests;
