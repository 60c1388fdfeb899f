//! What filters count of gRPC calls: `cluster.<name>.grpc.<service>.<method>.*` and `cluster.<name>.grpc-web.*`
//! (Envoy's `Grpc::Context`).
//!
//! Service and method come from request paths, that is, from clients: a worker keeps stats of [`MOST_METHODS`] of them,
//! and counts further ones without their name.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use nuncio_http::{HeaderMap, Known};
use nuncio_sdk::{ServerContext, StreamInfo};
use nuncio_stats::{Counter, CounterSlot, Group, LocalGroup, stats_schema};
use nuncio_upstream::ClusterManager;

/// How many methods, over all clusters, have stats of their own on a worker.
const MOST_METHODS: usize = 10_000;

/// How many statuses that gRPC does not have are counted under their own name, over all methods and workers.
const MOST_ODD_STATUSES: u32 = 1000;

stats_schema! {
    /// `cluster.<name>.grpc[.<service>.<method>].*`
    CallStats {
        counters {
            success,
            failure,
            total,
            request_message_count,
            response_message_count,
            status_0 = "0",
            status_1 = "1",
            status_2 = "2",
            status_3 = "3",
            status_4 = "4",
            status_5 = "5",
            status_6 = "6",
            status_7 = "7",
            status_8 = "8",
            status_9 = "9",
            status_10 = "10",
            status_11 = "11",
            status_12 = "12",
            status_13 = "13",
            status_14 = "14",
            status_15 = "15",
            status_16 = "16",
        }
        histograms { upstream_rq_time (Ms) }
        names { sparse }
    }
}

/// The counters of the statuses, by number.
const STATUSES: [CounterSlot; 17] = [
    CallStats::STATUS_0,
    CallStats::STATUS_1,
    CallStats::STATUS_2,
    CallStats::STATUS_3,
    CallStats::STATUS_4,
    CallStats::STATUS_5,
    CallStats::STATUS_6,
    CallStats::STATUS_7,
    CallStats::STATUS_8,
    CallStats::STATUS_9,
    CallStats::STATUS_10,
    CallStats::STATUS_11,
    CallStats::STATUS_12,
    CallStats::STATUS_13,
    CallStats::STATUS_14,
    CallStats::STATUS_15,
    CallStats::STATUS_16,
];

/// The two families of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Grpc,
    GrpcWeb,
}

impl Family {
    fn as_str(self) -> &'static str {
        match self {
            Family::Grpc => "grpc",
            Family::GrpcWeb => "grpc-web",
        }
    }
}

thread_local! {
    /// What the calling worker counts, of all [`GrpcCounts`].
    static CALLS: RefCell<Cache> = RefCell::default();
}

#[derive(Default)]
struct Cache {
    calls: HashTable<Rc<Calls>>,
    hasher: DefaultHashBuilder,
}

/// All counts of gRPC calls of one server: a service, shared by the filters of all chains.
pub(super) struct GrpcCounts {
    server: std::sync::Weak<ServerContext>,
    /// Tells the entries of this object apart in the workers' caches.
    serial: u64,
    odd_statuses: AtomicU32,
}

/// The counts of one method of a cluster, or of calls without a name, on one worker.
pub(super) struct Calls {
    key: Key<Rc<str>, Box<[u8]>>,
    /// Keeps the stats alive.
    group: Arc<Group>,
    stats: LocalGroup,
    /// Statuses that gRPC does not have, as they were sent.
    odd: RefCell<Vec<(Box<[u8]>, Counter)>>,
}

#[derive(Hash, PartialEq, Eq)]
struct Key<C, N> {
    serial: u64,
    cluster: C,
    family: Family,
    method: Option<(N, N)>,
}

impl Key<Rc<str>, Box<[u8]>> {
    fn borrow(&self) -> Key<&str, &[u8]> {
        Key {
            serial: self.serial,
            cluster: &self.cluster,
            family: self.family,
            method: self.method.as_ref().map(|(a, b)| (&**a, &**b)),
        }
    }
}

fn hash(hasher: &DefaultHashBuilder, key: &Key<&str, &[u8]>) -> u64 {
    hasher.hash_one(key)
}

impl GrpcCounts {
    /// The server's one.
    pub(super) fn of(server: &Arc<ServerContext>) -> Arc<GrpcCounts> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        if let Some(present) = server.services.get::<GrpcCounts>() {
            return present;
        }
        let counts = Arc::new(GrpcCounts {
            server: Arc::downgrade(server),
            serial: SERIAL.fetch_add(1, Relaxed),
            odd_statuses: AtomicU32::new(0),
        });
        server.services.insert(counts.clone());
        counts
    }

    /// Where to count a call to the stream's cluster; `None` when the stream's route has no cluster that exists. `method`:
    /// service and method, absent for calls that are counted without them.
    pub(super) fn calls(
        &self,
        info: &StreamInfo,
        family: Family,
        method: Option<(&[u8], &[u8])>,
    ) -> Option<Rc<Calls>> {
        let cluster = info.cluster_name.as_ref()?;
        CALLS.with_borrow_mut(|cache| {
            let full = method.is_some() && cache.calls.len() >= MOST_METHODS;
            self.cached(cache, cluster, family, method)
                .or_else(|| self.cached(cache, cluster, family, None).filter(|_| full))
                .or_else(|| self.add(cache, cluster, family, method.filter(|_| !full)))
        })
    }

    fn cached(
        &self,
        cache: &Cache,
        cluster: &str,
        family: Family,
        method: Option<(&[u8], &[u8])>,
    ) -> Option<Rc<Calls>> {
        let key = Key {
            serial: self.serial,
            cluster,
            family,
            method,
        };
        let found = cache
            .calls
            .find(hash(&cache.hasher, &key), |calls| calls.key.borrow() == key);
        found.cloned()
    }

    #[cold]
    fn add(
        &self,
        cache: &mut Cache,
        cluster: &Rc<str>,
        family: Family,
        method: Option<(&[u8], &[u8])>,
    ) -> Option<Rc<Calls>> {
        let server = self.server.upgrade()?;
        let clusters = server.services.get::<ClusterManager>()?;
        let cluster_here = clusters.on_this_thread().find(cluster)?;
        let mut suffix = family.as_str().to_owned();
        if let Some((service, method)) = method {
            for part in [service, method] {
                suffix.push('.');
                suffix.push_str(&String::from_utf8_lossy(part));
            }
        }
        let group = cluster_here
            .stats_group()
            .subgroup(&suffix, CallStats::SCHEMA);
        let calls = Rc::new(Calls {
            key: Key {
                serial: self.serial,
                cluster: cluster.clone(),
                family,
                method: method.map(|(service, method)| (service.into(), method.into())),
            },
            stats: group.local(),
            group,
            odd: RefCell::default(),
        });
        let Cache { calls: all, hasher } = cache;
        all.insert_unique(hash(hasher, &calls.key.borrow()), calls.clone(), |calls| {
            hash(hasher, &calls.key.borrow())
        });
        Some(calls)
    }

    /// Counts the end of a call by the `grpc-status` of its headers or trailers, if there is one.
    pub(super) fn charge_status(&self, calls: &Calls, headers: &HeaderMap) {
        let Some(status) = headers.get(Known::GrpcStatus) else {
            return;
        };
        let known = std::str::from_utf8(status)
            .ok()
            // `00` is no name of the status 0.
            .filter(|text| text.len() == 1 || !text.starts_with(['0', '+']))
            .and_then(|text| text.parse::<usize>().ok())
            .and_then(|number| STATUSES.get(number));
        match known {
            Some(&slot) => calls.stats.inc(slot),
            None => self.charge_odd_status(calls, status),
        }
        calls.charge_outcome(status == b"0");
    }

    #[cold]
    fn charge_odd_status(&self, calls: &Calls, status: &[u8]) {
        let mut odd = calls.odd.borrow_mut();
        if let Some((_, counter)) = odd.iter().find(|(known, _)| **known == *status) {
            return counter.inc();
        }
        let one_more = |count| (count < MOST_ODD_STATUSES).then_some(count + 1);
        let there_is_room = self
            .odd_statuses
            .fetch_update(Relaxed, Relaxed, one_more)
            .is_ok();
        if let Some(server) = self.server.upgrade().filter(|_| there_is_room) {
            let status_name = String::from_utf8_lossy(status);
            let name = format!("{}.{status_name}", calls.group.prefix());
            let counter = server.stats.counter(&name);
            counter.inc();
            odd.push((status.into(), counter));
        }
    }
}

impl Calls {
    /// Counts the end of a call.
    pub(super) fn charge_outcome(&self, success: bool) {
        self.stats.inc(match success {
            true => CallStats::SUCCESS,
            false => CallStats::FAILURE,
        });
        self.stats.inc(CallStats::TOTAL);
    }

    /// Counts messages of requests.
    pub(super) fn add_request_messages(&self, count: u64) {
        self.stats.add(CallStats::REQUEST_MESSAGE_COUNT, count);
    }

    /// Counts messages of responses.
    pub(super) fn add_response_messages(&self, count: u64) {
        self.stats.add(CallStats::RESPONSE_MESSAGE_COUNT, count);
    }

    /// Records the time from the end of a request to the end of its response, both as the upstream saw them.
    pub(super) fn record_upstream_time(&self, took: Duration) {
        self.stats
            .record(CallStats::UPSTREAM_RQ_TIME, took.as_millis() as u64);
    }
}
