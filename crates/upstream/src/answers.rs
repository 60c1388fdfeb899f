//! Where answers are counted by their codes and times, beside the cluster's own `upstream_rq_<code>`.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_stats::{Group, LocalGroup, Schema};

use crate::stats::AnswerStats;
use crate::worker::{CodeContext, WorkerHost};

/// Names that requests may give to stats, for each cluster and worker; answers under further names count for the cluster only.
const ALT_NAMES: usize = 256;

/// Stats under a cluster's name that are there once they are needed.
#[derive(Debug)]
pub(crate) struct LazyGroup {
    suffix: &'static str,
    schema: &'static Schema,
    /// The group keeps the stats alive.
    group: OnceCell<(Arc<Group>, LocalGroup)>,
}

impl LazyGroup {
    pub(crate) fn new(suffix: &'static str, schema: &'static Schema) -> Self {
        Self {
            suffix,
            schema,
            group: OnceCell::new(),
        }
    }

    /// This worker's block, made under `cluster` at the first call.
    #[inline]
    pub(crate) fn of(&self, cluster: &Group) -> &LocalGroup {
        let (_, local) = self.group.get_or_init(|| {
            let group = cluster.subgroup(self.suffix, self.schema);
            let local = group.local();
            (group, local)
        });
        local
    }
}

/// `external.`, `internal.`, `canary.` and `zone.` of a cluster, or of a name below it.
#[derive(Debug)]
pub(crate) struct AnswerGroups {
    external: LazyGroup,
    internal: LazyGroup,
    canary: LazyGroup,
    /// Only where this proxy's own zone is known.
    zones: Option<ZoneGroups>,
}

impl AnswerGroups {
    /// `zone`: where this proxy is; empty when that is not known.
    pub(crate) fn new(zone: &str) -> Self {
        Self {
            external: LazyGroup::new("external", AnswerStats::SCHEMA),
            internal: LazyGroup::new("internal", AnswerStats::SCHEMA),
            canary: LazyGroup::new("canary", AnswerStats::SCHEMA),
            zones: (!zone.is_empty()).then(|| ZoneGroups::new(zone)),
        }
    }

    /// Where this proxy is; empty when that is not known.
    pub(crate) fn zone(&self) -> &str {
        self.zones.as_ref().map_or("", |zones| &zones.own)
    }

    /// Counts in each group below `parent` to which the answer belongs.
    #[inline]
    pub(crate) fn each(
        &self,
        parent: &Group,
        cx: CodeContext,
        host: Option<&WorkerHost>,
        count: impl Fn(&LocalGroup),
    ) {
        let origin = match cx.internal {
            true => &self.internal,
            false => &self.external,
        };
        count(origin.of(parent));
        if cx.canary {
            count(self.canary.of(parent));
        }
        if let (Some(zones), Some(host)) = (&self.zones, host) {
            zones.with(parent, &host.host().locality().zone, count);
        }
    }
}

/// The groups of `x-envoy-upstream-alt-stat-name`, by that name; few clusters ever have any.
#[derive(Debug, Default)]
pub(crate) struct AltGroups {
    known: OnceCell<Box<KnownNames>>,
}

type KnownNames = RefCell<HashMap<Box<str>, Rc<AltStats>>>;

impl AltGroups {
    /// The group of this name, made under `cluster` when it is new; `None` when there are too many already. `zone`: where this
    /// proxy is.
    pub(crate) fn of(&self, cluster: &Group, zone: &str, name: &str) -> Option<Rc<AltStats>> {
        let mut known = self.known.get_or_init(Box::default).borrow_mut();
        if let Some(stats) = known.get(name) {
            return Some(stats.clone());
        }
        if name.is_empty() || known.len() >= ALT_NAMES {
            return None;
        }
        let group = cluster.subgroup(name, AnswerStats::SCHEMA);
        let stats = Rc::new(AltStats {
            local: group.local(),
            group,
            answers: AnswerGroups::new(zone),
        });
        known.insert(name.into(), stats.clone());
        Some(stats)
    }
}

/// `cluster.<name>.<name that the request gave>.*`
#[derive(Debug)]
pub struct AltStats {
    /// Keeps the stats alive.
    group: Arc<Group>,
    local: LocalGroup,
    answers: AnswerGroups,
}

impl AltStats {
    /// As [`WorkerCluster::on_response_code`](crate::WorkerCluster::on_response_code).
    pub fn on_response_code(&self, code: u16, cx: CodeContext, host: Option<&WorkerHost>) {
        self.each(cx, host, |stats| {
            stats.charge_code(AnswerStats::UPSTREAM_RQ, code);
        });
    }

    /// As [`WorkerCluster::on_response_time`](crate::WorkerCluster::on_response_time).
    pub fn on_response_time(&self, took: Duration, cx: CodeContext, host: Option<&WorkerHost>) {
        self.each(cx, host, |stats| {
            stats.record(AnswerStats::UPSTREAM_RQ_TIME, took.as_millis() as u64);
        });
    }

    fn each(&self, cx: CodeContext, host: Option<&WorkerHost>, count: impl Fn(&LocalGroup)) {
        count(&self.local);
        self.answers.each(&self.group, cx, host, count);
    }
}

/// `cluster.<name>.zone.<own>.<host's>.*`, there once a host of that zone has answered.
#[derive(Debug)]
struct ZoneGroups {
    own: Box<str>,
    /// Few, so they are looked through.
    groups: RefCell<Vec<ZoneGroup>>,
}

#[derive(Debug)]
struct ZoneGroup {
    /// Of the host.
    zone: Box<str>,
    /// Keeps the stats alive.
    _group: Arc<Group>,
    local: LocalGroup,
}

impl ZoneGroups {
    fn new(own: &str) -> Self {
        Self {
            own: own.into(),
            groups: RefCell::default(),
        }
    }

    /// Counts for a host in `zone`; nothing, as in Envoy, when that is not known.
    fn with(&self, cluster: &Group, zone: &str, count: impl Fn(&LocalGroup)) {
        if zone.is_empty() {
            return;
        }
        let mut groups = self.groups.borrow_mut();
        let known = groups.iter().position(|known| *known.zone == *zone);
        let index = known.unwrap_or_else(|| {
            let suffix = format!("zone.{}.{zone}", self.own);
            let group = cluster.subgroup(&suffix, AnswerStats::SCHEMA);
            let local = group.local();
            groups.push(ZoneGroup {
                zone: zone.into(),
                _group: group,
                local,
            });
            groups.len() - 1
        });
        count(&groups[index].local);
    }
}

#[cfg(test)]
mod tests {
    use nuncio_stats::Store;

    use super::*;

    #[test]
    fn requests_may_give_only_so_many_names() {
        let store = Arc::new(Store::new(1));
        let cluster = store.group("cluster.c", AnswerStats::SCHEMA);
        let groups = AltGroups::default();
        for number in 0..ALT_NAMES {
            assert!(groups.of(&cluster, "", &number.to_string()).is_some());
        }
        assert!(groups.of(&cluster, "", "one.more").is_none());
        let first = groups.of(&cluster, "", "0").unwrap();
        assert!(Rc::ptr_eq(&first, &groups.of(&cluster, "", "0").unwrap()));
        first.on_response_code(204, CodeContext::default(), None);
    }

    #[test]
    fn an_empty_name_is_none() {
        let store = Arc::new(Store::new(1));
        let cluster = store.group("cluster.c", AnswerStats::SCHEMA);
        assert!(AltGroups::default().of(&cluster, "", "").is_none());
    }
}
