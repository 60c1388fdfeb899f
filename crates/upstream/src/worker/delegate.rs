//! How a worker passes the requests of an aggregate or composite cluster, or of a dynamic forward proxy with sub clusters, on to
//! other clusters.
//!
//! The worker's view of an aggregate cluster is made of what it knows of the members, by the first request after one of them
//! has changed: an update costs a flag.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use nuncio_sdk::ClusterId;

use super::by_authority::{ByAuthority, HostCluster};
use super::cluster::{Chosen, WorkerCluster};
use super::table::Table;
use crate::forward_proxy::SubClusters;
use crate::host_set::PrioritySet;
use crate::lb::members::{Members, Rule};
use crate::lb::{LbContext, PriorityLoads};
use crate::random::Random;

/// The members of one cluster.
pub(super) struct Delegate {
    table: Weak<Table>,
    members: Box<[ClusterId]>,
    by: By,
}

enum By {
    Authority(ByAuthority),
    Priority(Priorities),
    Attempt {
        /// A host is being chosen: a cluster that names itself, even by others, is passed over.
        busy: Cell<bool>,
    },
}

/// The priorities of all members, end to end.
struct Priorities {
    /// A member has changed since they were laid.
    stale: Rc<Cell<bool>>,
    laid: RefCell<Laid>,
}

#[derive(Default)]
struct Laid {
    /// The hosts of each member, of which `priorities` were made.
    seen: Vec<Option<Arc<PrioritySet>>>,
    /// `None` when there is no host at all.
    priorities: Option<Arc<PrioritySet>>,
    /// To whom each belongs: member, and priority there.
    places: Vec<(ClusterId, usize)>,
}

impl Delegate {
    /// For a cluster with these members, which may not be there.
    pub(super) fn new(members: &Members, table: &Rc<Table>) -> Self {
        let ids: Box<[ClusterId]> = members
            .names
            .iter()
            .map(|name| table.names().intern(name))
            .collect();
        let by = match members.rule {
            Rule::ByAttempt => By::Attempt {
                busy: Cell::new(false),
            },
            Rule::ByPriority => {
                let stale = Rc::new(Cell::new(true));
                table.watch(&ids, &stale);
                By::Priority(Priorities {
                    stale,
                    laid: RefCell::default(),
                })
            }
        };
        Self {
            table: Rc::downgrade(table),
            members: ids,
            by,
        }
    }

    /// For a cluster with a cluster for each host that requests name.
    pub(super) fn by_authority(policy: Arc<SubClusters>, table: &Rc<Table>) -> Self {
        Self {
            table: Rc::downgrade(table),
            members: Box::default(),
            by: By::Authority(ByAuthority::new(policy)),
        }
    }

    /// Has a cluster made for the host that a request names; `None` where that is not how hosts are found.
    pub(super) fn prepare(&self, authority: &str, port: u16) -> Option<HostCluster> {
        match &self.by {
            By::Authority(hosts) => Some(hosts.prepare(authority, port, &self.table.upgrade()?)),
            By::Priority(_) | By::Attempt { .. } => None,
        }
    }

    /// A host of a member.
    pub(super) fn choose(
        &self,
        cx: &LbContext<'_>,
        panic_threshold: u32,
        random: &Random,
    ) -> Option<Chosen> {
        let table = self.table.upgrade()?;
        match &self.by {
            By::Authority(hosts) => ask(&hosts.find(cx, &table)?, cx, cx.loads),
            By::Priority(priorities) => {
                let laid = priorities.laid(&self.members, &table, panic_threshold);
                let own = laid.priorities.as_ref()?;
                let loads = cx.loads.unwrap_or_else(|| own.loads());
                let (at, degraded) = loads.draw(|| random.next());
                let &(id, priority) = laid.places.get(at)?;
                drop(laid);
                let loads = PriorityLoads::only(priority, degraded);
                ask(&table.get(id)?, cx, Some(&loads))
            }
            By::Attempt { busy } => {
                let tried_before = cx.pass_on?.attempt.checked_sub(1)? as usize;
                if busy.replace(true) {
                    return None;
                }
                let mut chosen = None;
                for &id in self.members.iter().skip(tried_before) {
                    chosen = table.get(id).and_then(|member| {
                        let loads = member.loads_of_retry(cx);
                        ask(&member, cx, loads.as_ref().or(cx.loads))
                    });
                    if chosen.is_some() || cx.will_have_host() {
                        break;
                    }
                }
                busy.set(false);
                chosen
            }
        }
    }

    /// The priorities of all members, end to end; `None` for a composite cluster, and without any host.
    pub(super) fn priorities(&self, panic_threshold: u32) -> Option<Arc<PrioritySet>> {
        let By::Priority(priorities) = &self.by else {
            return None;
        };
        let laid = priorities.laid(&self.members, &self.table.upgrade()?, panic_threshold);
        laid.priorities.clone()
    }
}

impl Priorities {
    /// As the worker knows the members now.
    fn laid(
        &self,
        members: &[ClusterId],
        table: &Rc<Table>,
        panic_threshold: u32,
    ) -> std::cell::Ref<'_, Laid> {
        if self.stale.replace(false) {
            self.laid.borrow_mut().lay(members, table, panic_threshold);
        }
        self.laid.borrow()
    }
}

impl Laid {
    /// Members without hosts, aggregate and composite ones among them, contribute nothing, as in Envoy; nor do priorities
    /// without hosts.
    fn lay(&mut self, members: &[ClusterId], table: &Rc<Table>, panic_threshold: u32) {
        let hosts = members.iter().map(|&id| Some(table.get(id)?.own_hosts()));
        let hosts: Vec<_> = hosts.collect();
        let is_same = |(new, old): (&Option<Arc<PrioritySet>>, _)| match (new, old) {
            (Some(new), Some(old)) => Arc::ptr_eq(new, old),
            (None, None) => true,
            _ => false,
        };
        if hosts.len() == self.seen.len()
            && hosts
                .iter()
                .zip(self.seen.iter().map(Option::as_ref))
                .all(is_same)
        {
            return;
        }
        self.places.clear();
        let mut sets = Vec::new();
        for (&id, hosts) in members.iter().zip(&hosts) {
            let of_member = hosts.iter().flat_map(|hosts| hosts.sets()).enumerate();
            for (priority, set) in of_member.filter(|(_, set)| !set.all.is_empty()) {
                self.places.push((id, priority));
                sets.push(set.clone());
            }
        }
        self.priorities = PrioritySet::end_to_end(sets, panic_threshold).map(Arc::new);
        self.seen = hosts;
    }
}

/// A host of `member`, for a request that came to another cluster. A host that the request wants was looked for there.
fn ask(
    member: &Rc<WorkerCluster>,
    cx: &LbContext<'_>,
    loads: Option<&PriorityLoads>,
) -> Option<Chosen> {
    let policy = &*member.info().lb;
    let hash = cx.pass_on.filter(|_| policy.needs_hash());
    let mut chosen = member.balance(&LbContext {
        hash: hash.and_then(|request| (request.hash)(policy)),
        override_host: None,
        loads,
        ..*cx
    })?;
    chosen.member.get_or_insert_with(|| member.clone());
    Some(chosen)
}
