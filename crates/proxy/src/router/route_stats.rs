//! What is counted for virtual clusters (`vhost.<virtual host>.vcluster.<name>.*`) and for routes with a
//! `stat_prefix` (`vhost.<virtual host>.route.<prefix>.*`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_http::HeaderMap;
use nuncio_route::RouteEntry;
use nuncio_sdk::{RouteView as _, ServerContext};
use nuncio_stats::{Group, LocalGroup, stats_schema};

stats_schema! {
    /// `vhost.<virtual host>.vcluster.<name>.` and `vhost.<virtual host>.route.<prefix>.`
    pub RouteStats {
        counters {
            upstream_rq_retry,
            upstream_rq_retry_limit_exceeded,
            upstream_rq_retry_overflow,
            upstream_rq_retry_success,
            upstream_rq_timeout,
            upstream_rq_total,
        }
        histograms { upstream_rq_time (Ms) }
        codes { upstream_rq }
    }
}

/// The name of requests that belong to none of the virtual clusters.
const OTHER: &str = "other";

/// One virtual cluster or stat prefix on one worker.
pub(crate) struct RouteGroup {
    /// The last part of its name.
    name: Rc<str>,
    local: LocalGroup,
    /// Keeps the stats alive.
    _group: Arc<Group>,
}

/// What a request counts for beside its cluster.
#[derive(Clone, Default)]
pub(crate) struct RouteGroups {
    virtual_cluster: Option<Rc<RouteGroup>>,
    /// Of the virtual cluster, unless it is the one of all other requests: that one has no name (`%VIRTUAL_CLUSTER_NAME%`).
    pub(super) virtual_cluster_name: Option<Rc<str>>,
    by_prefix: Option<Rc<RouteGroup>>,
}

impl RouteGroups {
    fn each(&self) -> impl Iterator<Item = &LocalGroup> {
        let both = self.virtual_cluster.iter().chain(&self.by_prefix);
        both.map(|group| &group.local)
    }

    /// A connection is there for the request.
    pub(super) fn count_request(&self) {
        self.each()
            .for_each(|stats| stats.inc(RouteStats::UPSTREAM_RQ_TOTAL));
    }

    pub(super) fn count_timeout(&self) {
        self.each()
            .for_each(|stats| stats.inc(RouteStats::UPSTREAM_RQ_TIMEOUT));
    }

    pub(super) fn count_code(&self, status: u16) {
        self.each()
            .for_each(|stats| stats.charge_code(RouteStats::UPSTREAM_RQ, status));
    }

    pub(super) fn count_retry(&self) {
        self.each()
            .for_each(|stats| stats.inc(RouteStats::UPSTREAM_RQ_RETRY));
    }

    pub(super) fn count_retry_success(&self) {
        self.each()
            .for_each(|stats| stats.inc(RouteStats::UPSTREAM_RQ_RETRY_SUCCESS));
    }

    pub(super) fn count_retry_limit(&self) {
        self.each()
            .for_each(|stats| stats.inc(RouteStats::UPSTREAM_RQ_RETRY_LIMIT_EXCEEDED));
    }

    pub(super) fn count_retry_overflow(&self) {
        self.each()
            .for_each(|stats| stats.inc(RouteStats::UPSTREAM_RQ_RETRY_OVERFLOW));
    }

    pub(super) fn record_time(&self, took: Duration) {
        self.each()
            .for_each(|stats| stats.record(RouteStats::UPSTREAM_RQ_TIME, took.as_millis() as u64));
    }
}

/// The groups that requests of one worker have met, by name.
pub(crate) struct RouteStatsCache {
    server: Arc<ServerContext>,
    known: RefCell<HashMap<String, Rc<RouteGroup>>>,
    /// For names that are looked up.
    scratch: RefCell<String>,
}

impl RouteStatsCache {
    pub(crate) fn new(server: Arc<ServerContext>) -> RouteStatsCache {
        RouteStatsCache {
            server,
            known: RefCell::default(),
            scratch: RefCell::default(),
        }
    }

    /// What a request on this route counts for; nearly always nothing.
    pub(super) fn of(&self, route: &RouteEntry, headers: &HeaderMap) -> RouteGroups {
        let virtual_host = route.virtual_host_name();
        let found = route.virtual_cluster(headers);
        let virtual_cluster = found.map(|cluster| {
            let name = cluster.map_or(OTHER, |cluster| cluster.name());
            self.group(virtual_host, "vcluster", name)
        });
        let virtual_cluster_name = match (found, &virtual_cluster) {
            (Some(Some(_)), Some(group)) => Some(group.name.clone()),
            _ => None,
        };
        RouteGroups {
            virtual_cluster,
            virtual_cluster_name,
            by_prefix: route
                .stat_prefix()
                .map(|prefix| self.group(virtual_host, "route", prefix)),
        }
    }

    fn group(&self, virtual_host: &str, kind: &str, name: &str) -> Rc<RouteGroup> {
        let mut prefix = self.scratch.borrow_mut();
        prefix.clear();
        // Writing to a string cannot fail.
        let _ = write!(prefix, "vhost.{virtual_host}.{kind}.{name}");
        let mut known = self.known.borrow_mut();
        if let Some(group) = known.get(prefix.as_str()) {
            return group.clone();
        }
        let group = self.server.stats.group(prefix.as_str(), RouteStats::SCHEMA);
        let group = Rc::new(RouteGroup {
            name: name.into(),
            local: group.local(),
            _group: group,
        });
        known.insert(prefix.clone(), group.clone());
        group
    }
}
