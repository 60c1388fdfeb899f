//! `envoy.load_balancing_policies.override_host`: hosts that a header or metadata of the request lists come first; another
//! policy chooses where none of them is there.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use nuncio_config::api::protobuf::value::Kind;
use nuncio_net::Address;
use nuncio_route::HashPolicy;
use nuncio_stats::Group;

use super::{LbContext, LbEnv, LbPolicy, Learner, LoadBalancer};
use crate::host::Host;
use crate::host_set::{Derived, PrioritySet};
use crate::random::Random;

/// The policy.
#[derive(Debug)]
pub struct ListedHosts {
    /// `override_host_sources`, in order; one at least.
    pub sources: Box<[Source]>,
    /// `fallback_policy`
    pub fallback: Arc<dyn LbPolicy>,
}

/// Where hosts are listed, as `ip:port,ip:port`.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The first value of a request header; lower case.
    Header(Box<str>),
    /// A text in the stream's dynamic metadata: namespace and path.
    Metadata(Box<str>, Box<[Box<str>]>),
}

impl LbPolicy for ListedHosts {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.override_host"
    }

    fn build(self: Arc<Self>, random: &Random) -> Box<dyn LoadBalancer> {
        Box::new(Balancer {
            fallback: self.fallback.clone().build(random),
            policy: self,
        })
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        let other = (other as &dyn Any).downcast_ref::<Self>();
        other.is_some_and(|other| {
            self.sources == other.sources && self.fallback.same_as(&*other.fallback)
        })
    }

    fn derive(
        &self,
        hosts: &PrioritySet,
        before: Option<&Derived>,
        stats: &Arc<Group>,
    ) -> Option<Derived> {
        self.fallback.derive(hosts, before, stats)
    }

    fn derives_at_once(&self) -> bool {
        self.fallback.derives_at_once()
    }

    fn needs_hash(&self) -> bool {
        self.fallback.needs_hash()
    }

    fn hash_policy(&self) -> Option<&HashPolicy> {
        self.fallback.hash_policy()
    }

    fn learner(&self) -> Option<&dyn Learner> {
        self.fallback.learner()
    }
}

struct Balancer {
    policy: Arc<ListedHosts>,
    fallback: Box<dyn LoadBalancer>,
}

impl LoadBalancer for Balancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        let lists = self
            .policy
            .sources
            .iter()
            .filter_map(|source| source.list(cx));
        // A host that an earlier attempt has used is used up, as in Envoy.
        let listed = lists.flat_map(|list| list.split(',')).find_map(|address| {
            let address = Address::Ip(address.trim_ascii().parse().ok()?);
            let host = hosts.at_address(&address)?;
            let is_new = !cx.attempted.iter().any(|tried| Arc::ptr_eq(tried, host));
            is_new.then_some(host)
        });
        match listed {
            Some(host) => Some(Cow::Borrowed(host)),
            None => self.fallback.choose(hosts, cx, env),
        }
    }
}

impl Source {
    fn list<'c>(&'c self, cx: &LbContext<'c>) -> Option<&'c str> {
        match self {
            Self::Header(name) => {
                let value = cx.request_headers?.get_name(name.as_bytes())?;
                std::str::from_utf8(value).ok()
            }
            Self::Metadata(namespace, path) => {
                let path = path.iter().map(|key| &**key);
                match &cx.metadata?.get(namespace, path)?.kind {
                    Some(Kind::StringValue(list)) => Some(list),
                    _ => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncio_config::api::protobuf::Value;
    use nuncio_http::HeaderMap;
    use nuncio_sdk::metadata::DynamicMetadata;

    use super::*;
    use crate::host::HealthFlags;
    use crate::lb::round_robin::RoundRobin;
    use crate::lb::testing::{env, one_priority};
    use crate::testing::{host, port};

    #[test]
    fn listed_hosts_come_first() {
        let env = env(1);
        let hosts = one_priority((1..4).map(|p| host(p, 1, HealthFlags::NONE)));
        let policy = Arc::new(ListedHosts {
            sources: [
                Source::Header("x-to".into()),
                Source::Metadata("ns".into(), ["to".into()].into()),
            ]
            .into(),
            fallback: Arc::<RoundRobin>::default(),
        });
        let mut balancer = policy.build(&env.random);
        let mut headers = HeaderMap::new();
        headers.append("x-to", b"127.0.0.1:9, 127.0.0.1:2,127.0.0.1:1");
        let mut metadata = DynamicMetadata::default();
        let text = Kind::StringValue("127.0.0.1:3".into());
        metadata.set("ns", "to", Value { kind: Some(text) });
        let all: Vec<_> = hosts.hosts().cloned().collect();
        let mut choose = |attempted: &[Arc<Host>], has_header: bool| {
            let cx = LbContext {
                request_headers: has_header.then_some(&headers),
                metadata: Some(&metadata),
                attempted,
                ..LbContext::default()
            };
            port(&balancer.choose(&hosts, &cx, &env).unwrap())
        };
        assert_eq!(choose(&[], true), 2);
        assert_eq!(choose(&all[1..2], true), 1);
        assert_eq!(choose(&all[..2], true), 3, "from metadata");
        assert_eq!(choose(&[], false), 3);
        let rest: Vec<_> = (0..3).map(|_| choose(&all, true)).collect();
        assert!(
            rest.contains(&1) && rest.contains(&2),
            "round robin: {rest:?}"
        );
    }
}
