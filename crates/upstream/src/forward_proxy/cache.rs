//! [`DnsCache`]: hosts, resolved again and again while somebody uses them. Tasks of the main thread's runtime fill it; each
//! worker has a view of it, to which they post what changes.

use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use nuncio_event::{Dispatchers, Slot};
use nuncio_net::Address;
use nuncio_stats::{Group, Store};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::authority::{Authority, host_key};
use super::entry::{Entry, Known};
use super::settings::Settings;
use super::view::View;
use crate::dns::{DnsResolver, ResolveError, Resolved};
use crate::lb::forward_proxy::ForwardProxy;
use crate::stats::{DnsCacheBreakerStats as B, DnsCacheStats as S};

/// A DNS cache. A request takes its lock only for a host that its worker has not been asked for before.
pub struct DnsCache {
    settings: Settings,
    stats: Arc<Group>,
    breaker: Arc<Group>,
    pending: AtomicU32,
    /// By name and port.
    entries: RwLock<HashMap<Box<str>, Arc<Entry>>>,
    views: Slot<View>,
    workers: Dispatchers,
    /// Clusters that have a host for each entry with an address.
    clusters: Mutex<Vec<Weak<ForwardProxy>>>,
    resolver: Option<Arc<dyn DnsResolver>>,
    /// Where names are resolved; `None` when only a configuration is checked.
    runtime: Option<Handle>,
}

/// What comes of asking for a host.
pub enum Load {
    /// It was resolved before.
    Known(Rc<Known>),
    /// It is being resolved.
    Loading(Waiting),
    /// There are too many hosts.
    Overflow,
}

/// A host that is being resolved.
pub struct Waiting(watch::Receiver<Option<Known>>);

/// One of the requests that may wait at a time (`max_pending_requests`).
pub struct PendingPermit(Arc<DnsCache>);

impl DnsCache {
    pub(super) fn new(
        settings: Settings,
        stats: &Store,
        workers: &Dispatchers,
        resolver: Option<Arc<dyn DnsResolver>>,
    ) -> Arc<Self> {
        let views = Slot::new(workers);
        views.set(|_| View::default());
        let group = stats.group(format!("dns_cache.{}", settings.name), S::SCHEMA);
        let breaker = group.subgroup("circuit_breakers", B::SCHEMA);
        breaker.gauge_set(B::RQ_PENDING_REMAINING, settings.max_pending.into());
        let cache = Arc::new(Self {
            stats: group,
            breaker,
            pending: AtomicU32::new(0),
            entries: RwLock::default(),
            views,
            workers: workers.clone(),
            clusters: Mutex::default(),
            runtime: resolver.as_ref().and_then(|_| Handle::try_current().ok()),
            resolver,
            settings,
        });
        for (name, port) in &cache.settings.preresolve {
            cache.add(&host_key(name, *port), *port);
        }
        cache
    }

    /// Asks for the host of this `:authority`.
    pub fn load(self: &Arc<Self>, authority: &str, default_port: u16) -> Load {
        let key = host_key(authority, default_port);
        let view = self.views.try_get();
        if let Some(known) = view.as_ref().and_then(|view| view.find(&key)) {
            return Load::Known(known);
        }
        let (found, count) = {
            let entries = self.entries();
            (entries.get(&*key).cloned(), entries.len())
        };
        if let Some(entry) = &found {
            entry.touch();
            if let Some(known) = entry.known() {
                return Load::Known(match view {
                    Some(view) => view.insert(&key, entry.clone(), known),
                    None => Rc::new(known),
                });
            }
        }
        // Also when it is being resolved, as in Envoy.
        if count >= self.settings.max_hosts {
            self.stats.inc(S::HOST_OVERFLOW);
            return Load::Overflow;
        }
        let entry = found.unwrap_or_else(|| self.add(&key, default_port));
        Load::Loading(Waiting(entry.watch()))
    }

    /// Whether a request may take the right to wait; if not, that is counted in `dns_rq_pending_overflow`. As in Envoy, a
    /// request must have that even for a host that is known.
    #[inline]
    pub fn may_wait(&self) -> bool {
        let may = self.pending.load(Relaxed) < self.settings.max_pending;
        if !may {
            self.stats.inc(S::DNS_RQ_PENDING_OVERFLOW);
        }
        may
    }

    /// Takes the right to wait; `None` (counted in `dns_rq_pending_overflow`) when too many wait.
    pub fn take_pending(self: &Arc<Self>) -> Option<PendingPermit> {
        let max = self.settings.max_pending;
        let taken = self
            .pending
            .try_update(Relaxed, Relaxed, |count| (count < max).then_some(count + 1));
        match taken {
            Ok(before) => {
                if before + 1 == max {
                    self.breaker.gauge_add(B::RQ_PENDING_OPEN, 1);
                }
                self.breaker.gauge_sub(B::RQ_PENDING_REMAINING, 1);
                Some(PendingPermit(self.clone()))
            }
            Err(_) => {
                self.stats.inc(S::DNS_RQ_PENDING_OVERFLOW);
                None
            }
        }
    }

    /// `cluster` gets a host for each entry that has an address, or will have one.
    pub(crate) fn attach(self: &Arc<Self>, cluster: &Arc<ForwardProxy>) {
        cluster.set_cache(self);
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters.retain(|cluster| cluster.strong_count() > 0);
        clusters.push(Arc::downgrade(cluster));
        drop(clusters);
        for (key, entry) in self.entries().iter() {
            if let Some(address) = entry.known().and_then(|known| known.address) {
                cluster.set(key, &address);
            }
        }
    }

    fn add(self: &Arc<Self>, key: &str, default_port: u16) -> Arc<Entry> {
        let mut entries = self.entries_mut();
        if let Some(entry) = entries.get(key) {
            return entry.clone();
        }
        let entry = Arc::new(Entry::new(Authority::parse(key), default_port));
        entries.insert(key.into(), entry.clone());
        drop(entries);
        self.stats.inc(S::HOST_ADDED);
        self.stats.gauge_add(S::NUM_HOSTS, 1);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(keep(Arc::downgrade(self), key.into(), entry.clone()));
        }
        entry
    }

    fn remove(&self, key: &str) {
        self.entries_mut().remove(key);
        self.tell(key, None);
        self.stats.inc(S::HOST_REMOVED);
        self.stats.gauge_sub(S::NUM_HOSTS, 1);
        self.each_cluster(|cluster| cluster.remove(key));
    }

    /// Resolves a host, tells the result, and returns when to do so again; `None`: never.
    async fn resolve(&self, key: &str, entry: &Entry) -> Option<Duration> {
        let Settings {
            family,
            query_timeout,
            ..
        } = &self.settings;
        self.stats.inc(S::DNS_QUERY_ATTEMPT);
        let answer = match (entry.ip(), &self.resolver) {
            (Some(ip), _) => Ok(Resolved {
                addresses: vec![ip],
                // As in Envoy: its use is looked at after the shortest wait.
                ttl: Some(Duration::ZERO),
            }),
            // What Envoy's default resolver says, and does not ask for.
            (None, _) if !is_hostname(&entry.name) => Err(ResolveError(
                "cares_failure:Misformatted domain name".into(),
            )),
            (None, None) => Err(ResolveError("no resolver".into())),
            (None, Some(resolver)) => {
                let question = resolver.resolve(&entry.name, *family);
                timeout(*query_timeout, question).await.unwrap_or_else(|_| {
                    self.stats.inc(S::DNS_QUERY_TIMEOUT);
                    Err(ResolveError("resolve_timeout".into()))
                })
            }
        };
        self.on_answer(key, entry, answer)
    }

    fn on_answer(
        &self,
        key: &str,
        entry: &Entry,
        answer: Result<Resolved, ResolveError>,
    ) -> Option<Duration> {
        let (addresses, ttl, details, failed) = match answer {
            Ok(Resolved { addresses, ttl }) => {
                self.stats.inc(S::DNS_QUERY_SUCCESS);
                let details = match addresses.is_empty() {
                    // What Envoy's default resolver says.
                    true => "cares_norecords:Domain_name_not_found".to_owned(),
                    false => "cares_success".to_owned(),
                };
                (addresses, ttl, details, false)
            }
            Err(ResolveError(text)) => {
                self.stats.inc(S::DNS_QUERY_FAILURE);
                (
                    Vec::new(),
                    None,
                    text.replace(char::is_whitespace, "_"),
                    true,
                )
            }
        };
        let before = entry.known();
        let had = before.as_ref().and_then(|known| known.address.clone());
        let first = addresses.first();
        let found = first.map(|ip| Address::Ip((*ip, entry.port).into()));
        let changed = found.is_some() && found != had;
        if let Some(address) = found.as_ref().filter(|_| changed) {
            self.stats.inc(S::HOST_ADDRESS_CHANGED);
            // Before the requests that wait for it go on.
            self.each_cluster(|cluster| cluster.set(key, address));
        }
        let address = found.or(had);
        let is_lost = address.is_none() && self.settings.forget_failures;
        if is_lost {
            self.remove(key);
        }
        if before.is_none() || changed {
            let known = Known {
                address,
                details: details.into(),
            };
            entry.set(known.clone());
            // Who waits was told; other workers may have seen what was known before.
            if before.is_some() {
                self.tell(key, Some(known));
            }
        }
        if is_lost {
            return None;
        }
        Some(match (failed, ttl) {
            (true, _) => {
                let failures = entry.failures.fetch_add(1, Relaxed);
                self.settings.wait_after_failures(failures)
            }
            (false, Some(ttl)) => {
                entry.failures.store(0, Relaxed);
                ttl.max(self.settings.min_refresh_rate)
            }
            (false, None) => {
                entry.failures.store(0, Relaxed);
                self.settings.refresh_rate
            }
        })
    }

    /// Posts to the workers how a host is known from now on.
    fn tell(&self, key: &str, known: Option<Known>) {
        let (views, key) = (self.views.clone(), Box::<str>::from(key));
        // A worker that has ended needs to know nothing.
        let _ = self.workers.post_all(move |_| {
            if let Some(view) = views.try_get() {
                view.update(&key, known.as_ref());
            }
        });
    }

    /// Whether a request has gone to this host since this was asked last.
    fn take_used(&self, key: &str, entry: &Entry) -> bool {
        let mut used = entry.take_used();
        self.each_cluster(|cluster| used |= cluster.take_used(key));
        used
    }

    fn each_cluster(&self, mut call: impl FnMut(&ForwardProxy)) {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        clusters
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|cluster| call(&cluster));
    }

    fn entries(&self) -> RwLockReadGuard<'_, HashMap<Box<str>, Arc<Entry>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries_mut(&self) -> RwLockWriteGuard<'_, HashMap<Box<str>, Arc<Entry>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a name consists of what names in DNS consist of (as c-ares sees it).
fn is_hostname(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._/*".contains(&byte))
}

/// Resolves one host again and again, until nobody uses it or the cache is gone.
async fn keep(cache: Weak<DnsCache>, key: Box<str>, entry: Arc<Entry>) {
    let mut last_used = Instant::now();
    loop {
        let Some(this) = cache.upgrade() else { return };
        let Some(wait) = this.resolve(&key, &entry).await else {
            return;
        };
        drop(this);
        sleep(wait).await;
        let Some(this) = cache.upgrade() else { return };
        if this.take_used(&key, &entry) {
            // When exactly is not known: it stays up to one refresh longer than it need.
            last_used = Instant::now();
        } else if last_used.elapsed() > this.settings.host_ttl {
            return this.remove(&key);
        }
    }
}

impl Settings {
    /// Random up to a bound that doubles with each failure, if there is a rate for failures.
    fn wait_after_failures(&self, failures: u32) -> Duration {
        let Some((base, max)) = self.failure_refresh_rate else {
            return self.refresh_rate;
        };
        let bound = base.saturating_mul(1 << failures.min(16)).min(max);
        bound
            .mul_f64(rand::random::<f64>())
            .max(Duration::from_millis(1))
    }
}

impl Waiting {
    /// What came of it; `None` when the host is gone, since its cache is.
    pub async fn known(mut self) -> Option<Known> {
        let known = self.0.wait_for(Option::is_some).await.ok()?;
        known.clone()
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        let DnsCache {
            pending,
            breaker,
            settings,
            ..
        } = &*self.0;
        if pending.fetch_sub(1, Relaxed) == settings.max_pending {
            breaker.gauge_sub(B::RQ_PENDING_OPEN, 1);
        }
        breaker.gauge_add(B::RQ_PENDING_REMAINING, 1);
    }
}

impl fmt::Debug for DnsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsCache")
            .field("name", &self.settings.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
