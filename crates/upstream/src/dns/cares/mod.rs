//! `envoy.network.dns_resolver.cares`: asks DNS servers as c-ares does for Envoy, and tells TTLs.

mod cache;
mod exchange;
pub mod message;
mod system;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use nuncio_stats::{GaugeSlot, Group};

use super::{DnsResolver, LookupFamily, Resolution, ResolveError, Resolved};
use crate::stats::CaresStats as S;
use cache::AnswerCache;
use exchange::Sockets;
use message::{Answer, RecordType};
use system::{HostsFile, ResolvConf, Watched};

/// `CaresDnsResolverConfig`, and the older fields that say the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CaresOptions {
    /// `resolvers`: what they are to the system's servers says `servers_use`.
    pub servers: Vec<SocketAddr>,
    /// When the servers above are asked, if there are any.
    pub servers_use: ServersUse,
    /// `filter_unroutable_families`: leave out families of which this machine has no address.
    pub filter_unroutable_families: bool,
    /// `use_tcp_for_dns_lookups`
    pub tcp: bool,
    /// `no_default_search_domain`: names are taken as they are.
    pub no_search: bool,
    /// `udp_max_queries`; 0 is without limit.
    pub udp_max_queries: u32,
    /// `query_timeout_seconds`: how long the first try waits.
    pub timeout: Duration,
    /// That time doubles when all servers were asked, as in c-ares.
    pub backs_off: bool,
    /// `query_tries`: how often each server is asked.
    pub tries: u32,
    /// `rotate_nameservers`: begin with another server each time.
    pub rotate: bool,
    /// `edns0_max_payload_size`: the largest answer by UDP; without it EDNS is not used.
    pub edns: Option<u16>,
    /// `qcache_max_ttl`: how long answers are used again at most; zero is never.
    pub cache_max_ttl: Duration,
    /// How many answers are kept for that.
    pub cache_size: usize,
}

/// When servers that are configured are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServersUse {
    /// Instead of those of the system.
    #[default]
    Only,
    /// `use_resolvers_as_fallback`: if the system names none.
    Fallback,
    /// After those of the system (hickory's `use_system_config`).
    Beside,
}

/// The largest answer by UDP unless told.
pub const DEFAULT_PAYLOAD: u16 = 1232;

impl Default for CaresOptions {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            servers_use: ServersUse::Only,
            filter_unroutable_families: false,
            tcp: false,
            no_search: false,
            udp_max_queries: 0,
            timeout: Duration::from_secs(5),
            backs_off: true,
            tries: 4,
            rotate: false,
            edns: Some(DEFAULT_PAYLOAD),
            cache_max_ttl: Duration::ZERO,
            cache_size: 1024,
        }
    }
}

/// Asks DNS servers. Holds no socket, and no memory to speak of, while nothing is asked.
#[derive(Clone, Debug)]
pub struct CaresResolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asker: Asker,
    /// `dns.cares.*`
    stats: Arc<Group>,
}

/// Finds out what servers and the hosts file say about names.
#[derive(Debug)]
pub(super) struct Asker {
    options: CaresOptions,
    sockets: Sockets,
    conf: Watched<ResolvConf>,
    hosts: Watched<HostsFile>,
    /// With which server to begin.
    next: AtomicUsize,
    cache: AnswerCache,
    /// Tries that waited in vain since this was asked last.
    timeouts: AtomicU64,
}

/// What was found out about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has addresses; how long that is good for.
    Found(Vec<IpAddr>, Option<Duration>),
    /// It has none.
    Nothing,
    Failed(Failure),
}

/// Why nothing was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Timeout,
    /// No server could be asked, or all have refused.
    Refused,
    /// It is no name that could be asked for.
    BadName,
}

impl Failure {
    /// In the words of c-ares.
    fn text(self) -> &'static str {
        match self {
            Self::Timeout => "Timeout while contacting DNS servers",
            Self::Refused => "Could not contact DNS servers",
            Self::BadName => "Misformatted domain name",
        }
    }
}

impl CaresResolver {
    /// A resolver that counts in `stats`.
    pub fn new(options: CaresOptions, stats: Arc<Group>) -> Self {
        Self(Arc::new(Inner {
            asker: Asker::new(options),
            stats,
        }))
    }
}

impl DnsResolver for CaresResolver {
    fn resolve(&self, name: &str, family: LookupFamily) -> Resolution {
        let (inner, name) = (self.0.clone(), name.to_owned());
        Box::pin(async move {
            let _pending = Pending::new(&inner.stats, S::PENDING_RESOLUTIONS);
            match inner.resolve(&name, family).await {
                Outcome::Found(addresses, ttl) => Ok(Resolved { addresses, ttl }),
                Outcome::Nothing => Ok(Resolved::default()),
                Outcome::Failed(failure) => {
                    Err(ResolveError(format!("cares_failure: {}", failure.text())))
                }
            }
        })
    }
}

/// Counts in a gauge.
pub(super) struct Pending<'a>(&'a Group, GaugeSlot);

impl<'a> Pending<'a> {
    pub(super) fn new(stats: &'a Group, gauge: GaugeSlot) -> Self {
        stats.gauge_add(gauge, 1);
        Self(stats, gauge)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.gauge_sub(self.1, 1);
    }
}

impl Inner {
    async fn resolve(&self, name: &str, family: LookupFamily) -> Outcome {
        use RecordType::{A, Aaaa};
        let (first, second): (&[_], &[_]) = match family {
            LookupFamily::V4Only => (&[A], &[]),
            LookupFamily::V6Only => (&[Aaaa], &[]),
            LookupFamily::All => (&[A, Aaaa], &[]),
            LookupFamily::Auto => (&[Aaaa], &[A]),
            LookupFamily::V4Preferred => (&[A], &[Aaaa]),
        };
        let routable = self.asker.routable();
        let mut outcome = Outcome::Nothing;
        for kinds in [first, second] {
            let kinds: Vec<_> = kinds.iter().filter(|kind| routable(**kind)).collect();
            let (kind, other) = match *kinds {
                [kind] => (kind, None),
                [kind, other] => (kind, Some(other)),
                _ => continue,
            };
            outcome = self.asker.lookup(name, *kind, other.copied()).await;
            self.stats.inc(S::RESOLVE_TOTAL);
            self.stats.add(S::TIMEOUTS, self.asker.take_timeouts());
            match &outcome {
                Outcome::Found(..) => break,
                Outcome::Nothing => self.stats.inc(S::NOT_FOUND),
                Outcome::Failed(Failure::Timeout) => {}
                Outcome::Failed(_) => {
                    self.stats.inc(S::GET_ADDR_FAILURE);
                    // Envoy makes its c-ares channel anew; here there is nothing that could have gone wrong with it.
                    self.stats.inc(S::REINITS);
                }
            }
        }
        outcome
    }
}

impl Asker {
    pub(super) fn new(options: CaresOptions) -> Self {
        Self {
            sockets: Sockets::new(options.udp_max_queries),
            conf: Watched::new("/etc/resolv.conf", ResolvConf::parse),
            hosts: Watched::new("/etc/hosts", HostsFile::parse),
            next: AtomicUsize::new(0),
            cache: AnswerCache::new(options.cache_size, options.cache_max_ttl),
            timeouts: AtomicU64::new(0),
            options,
        }
    }

    /// How many tries have waited in vain since the last call.
    pub(super) fn take_timeouts(&self) -> u64 {
        self.timeouts.swap(0, Relaxed)
    }

    /// Of which families this machine has an address beyond itself.
    fn routable(&self) -> impl Fn(RecordType) -> bool {
        let (mut v4, mut v6) = (true, true);
        if self.options.filter_unroutable_families {
            let own = nuncio_net::interface_addresses();
            let mut beyond = own.iter().filter(|ip| !ip.is_loopback());
            v4 = beyond.clone().any(|ip| ip.is_ipv4());
            v6 = beyond.any(|ip| ip.is_ipv6());
        }
        move |kind| match kind {
            RecordType::A => v4,
            RecordType::Aaaa => v6,
        }
    }

    /// Looks up addresses of one kind, or of two.
    pub(super) async fn lookup(
        &self,
        name: &str,
        kind: RecordType,
        other: Option<RecordType>,
    ) -> Outcome {
        let mut known = self.hosts.get().find(name);
        known.retain(|ip| {
            let its = match ip {
                IpAddr::V4(_) => RecordType::A,
                IpAddr::V6(_) => RecordType::Aaaa,
            };
            its == kind || Some(its) == other
        });
        if !known.is_empty() {
            return Outcome::Found(known, None);
        }
        let conf = self.conf.get();
        let mut last = Outcome::Nothing;
        for candidate in self.candidates(name, &conf) {
            last = match other {
                None => self.ask(&candidate, kind, &conf).await,
                Some(other) => {
                    let (first, second) = tokio::join!(
                        self.ask(&candidate, kind, &conf),
                        self.ask(&candidate, other, &conf)
                    );
                    both(first, second)
                }
            };
            if last != Outcome::Nothing {
                break;
            }
        }
        last
    }

    /// The names that `name` may stand for, in the order in which they are tried.
    fn candidates(&self, name: &str, conf: &ResolvConf) -> Vec<String> {
        if self.options.no_search || name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let searched = conf.search.iter();
        let mut all: Vec<String> = searched.map(|domain| format!("{name}.{domain}")).collect();
        all.insert(
            if dots >= conf.ndots { 0 } else { all.len() },
            name.to_owned(),
        );
        all
    }

    /// Asks, unless the answer is known.
    async fn ask(&self, name: &str, kind: RecordType, conf: &ResolvConf) -> Outcome {
        if let Some((addresses, ttl)) = self.cache.find(name, kind) {
            return Outcome::Found(addresses, Some(ttl));
        }
        let outcome = self.ask_servers(name, kind, conf).await;
        if let Outcome::Found(addresses, Some(ttl)) = &outcome {
            self.cache.put(name, kind, addresses, *ttl);
        }
        outcome
    }

    /// Asks one server after the other, each as often as it may be.
    async fn ask_servers(&self, name: &str, kind: RecordType, conf: &ResolvConf) -> Outcome {
        let CaresOptions {
            servers,
            servers_use,
            ..
        } = &self.options;
        let beside: Vec<SocketAddr>;
        let (own, servers) = match servers_use {
            _ if servers.is_empty() => (false, &conf.servers),
            ServersUse::Fallback if conf.names_servers => (false, &conf.servers),
            ServersUse::Beside if conf.names_servers => {
                beside = conf.servers.iter().chain(servers).copied().collect();
                (false, &beside)
            }
            _ => (true, servers),
        };
        let count = servers.len();
        let begin = if self.options.rotate || (conf.rotate && !own) {
            self.next.fetch_add(1, Relaxed)
        } else {
            0
        };
        let mut edns = self.options.edns;
        let mut failure = Failure::Refused;
        for number in 0..self.options.tries as usize * count {
            let Some(question) = message::question(0, name, kind, edns) else {
                return Outcome::Failed(Failure::BadName);
            };
            let server = servers[(begin + number) % count];
            let rounds = match self.options.backs_off {
                true => (number / count).min(6) as u32,
                false => 0,
            };
            let answer = self.ask_server(server, question);
            match tokio::time::timeout(self.options.timeout * (1 << rounds), answer).await {
                Err(_) => {
                    self.timeouts.fetch_add(1, Relaxed);
                    failure = Failure::Timeout;
                }
                Ok(Ok(Answer::Addresses(addresses, _))) if addresses.is_empty() => {
                    return Outcome::Nothing;
                }
                Ok(Ok(Answer::Addresses(addresses, ttl))) => {
                    return Outcome::Found(addresses, ttl);
                }
                Ok(Ok(Answer::Refused(message::FORMAT_ERROR))) if edns.is_some() => {
                    edns = None;
                    failure = Failure::Refused;
                }
                Ok(Ok(answer)) => {
                    log::debug!("dns: {server} answers {answer:?} to {name}");
                    failure = Failure::Refused;
                }
                Ok(Err(error)) => {
                    log::debug!("dns: {server}: {error}");
                    failure = Failure::Refused;
                }
            }
        }
        Outcome::Failed(failure)
    }

    async fn ask_server(&self, server: SocketAddr, question: Vec<u8>) -> io::Result<Answer> {
        if !self.options.tcp {
            let answer = self.sockets.ask(server, question.clone()).await?;
            if answer != Answer::Truncated {
                return Ok(answer);
            }
        }
        exchange::ask_by_tcp(server, question).await
    }
}

/// What two questions about one name have brought.
fn both(first: Outcome, second: Outcome) -> Outcome {
    match (first, second) {
        (Outcome::Found(mut addresses, ttl), Outcome::Found(more, other)) => {
            addresses.extend(more);
            let least = [ttl, other].into_iter().flatten().min();
            Outcome::Found(addresses, least)
        }
        (found @ Outcome::Found(..), _) | (_, found @ Outcome::Found(..)) => found,
        (failed @ Outcome::Failed(_), _) | (_, failed @ Outcome::Failed(_)) => failed,
        (Outcome::Nothing, Outcome::Nothing) => Outcome::Nothing,
    }
}

#[cfg(test)]
pub(super) mod tests;
