//! A worker's view of a route table.

use std::cell::{OnceCell, RefCell};
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use nuncio_http::HeaderMap;
use nuncio_sdk::{ClusterId, ServerContext, StreamInfo};

use crate::action::{Action, ClusterSpecifier, MatchedCluster};
use crate::entry::RouteEntry;
use crate::matchers::HeaderName;
use crate::table::{Found, RouteTable, TableScratch};

/// One worker's hold on a [`RouteTable`]. Entries are made when they are first needed and then shared, so that a
/// request costs no allocation.
pub struct WorkerRouteTable {
    table: Arc<RouteTable>,
    server: Arc<ServerContext>,
    entries: Box<[OnceCell<Rc<RouteEntry>>]>,
    /// Entries of routes whose cluster a request header named. Only names of the configuration get here, so that
    /// clients cannot make it grow.
    by_header: RefCell<HashTable<Rc<RouteEntry>>>,
    hasher: RandomState,
    scratch: RefCell<TableScratch>,
}

impl WorkerRouteTable {
    /// A worker's view of `table`.
    pub fn new(table: Arc<RouteTable>, server: Arc<ServerContext>) -> WorkerRouteTable {
        let entries = (0..table.entries).map(|_| OnceCell::new()).collect();
        WorkerRouteTable {
            table,
            server,
            entries,
            by_header: RefCell::default(),
            hasher: RandomState::default(),
            scratch: RefCell::default(),
        }
    }

    /// The table.
    pub fn table(&self) -> &Arc<RouteTable> {
        &self.table
    }

    /// The route of a request. `random` is a uniform random number that decides runtime fractions and weighted
    /// clusters; it stays the same over the life of a stream, so that matching again gives the same answer.
    pub fn find(
        &self,
        headers: &HeaderMap,
        info: &StreamInfo,
        random: u64,
    ) -> Option<Rc<RouteEntry>> {
        let found = self
            .table
            .find(headers, info, random, &mut self.scratch.borrow_mut())?;
        let number = match found {
            Found::Route(number) => number,
            Found::TlsRedirect(virtual_host) => {
                let slot = self.table.virtual_hosts[virtual_host as usize].tls_entry;
                return Some(self.entry(slot, found, None, None).clone());
            }
        };
        let route = &self.table.routes[number as usize];
        let Action::Forward(forward) = &route.action else {
            return Some(self.entry(route.first_entry, found, None, None).clone());
        };
        let (slot, choice, specifier) = match &forward.cluster {
            ClusterSpecifier::Weighted(weighted) => {
                let given = match &weighted.header {
                    Some(name) => number_in(headers, name),
                    None if weighted.by_hash => forward.hash_policy.as_ref().and_then(|policy| {
                        // A cookie that would have to be made is made by the load balancer's turn.
                        policy.hash(headers, info, drop)
                    }),
                    None => None,
                };
                let choice = weighted.choose(given.unwrap_or(random))?;
                (
                    route.first_entry + choice as u32,
                    Some(choice),
                    &weighted.choices[choice].cluster,
                )
            }
            other => (route.first_entry, None, other),
        };
        Some(match specifier {
            ClusterSpecifier::Named(cluster) => self
                .entry(slot, found, choice, Some((cluster.id, &cluster.name)))
                .clone(),
            ClusterSpecifier::Header(name) => {
                let name = headers
                    .get_name(name.as_ref())
                    .and_then(|name| std::str::from_utf8(name).ok());
                self.entry_by_name(slot, found, choice, name.unwrap_or_default())
            }
            ClusterSpecifier::Matcher(matcher) => match matcher.choose(headers, info) {
                Some(MatchedCluster { number, cluster }) => self
                    .entry(
                        slot + number,
                        found,
                        choice,
                        Some((cluster.id, &cluster.name)),
                    )
                    .clone(),
                None => self.entry(slot, found, choice, None).clone(),
            },
            ClusterSpecifier::None | ClusterSpecifier::Weighted(_) => {
                self.entry(slot, found, choice, None).clone()
            }
        })
    }

    fn entry(
        &self,
        slot: u32,
        found: Found,
        choice: Option<usize>,
        cluster: Option<(ClusterId, &str)>,
    ) -> &Rc<RouteEntry> {
        self.entries[slot as usize].get_or_init(|| self.new_entry(slot, found, choice, cluster))
    }

    fn new_entry(
        &self,
        slot: u32,
        found: Found,
        choice: Option<usize>,
        cluster: Option<(ClusterId, &str)>,
    ) -> Rc<RouteEntry> {
        Rc::new(RouteEntry {
            table: self.table.clone(),
            found,
            choice,
            slot,
            cluster: cluster.map(|(id, _)| id),
            cluster_name: cluster.map_or_else(Rc::default, |(_, name)| Rc::from(name)),
        })
    }

    /// The entry with the cluster of this name; one without a cluster if there was never one of this name.
    fn entry_by_name(
        &self,
        slot: u32,
        found: Found,
        choice: Option<usize>,
        name: &str,
    ) -> Rc<RouteEntry> {
        let hash = |slot: u32, name: &str| self.hasher.hash_one((slot, name));
        let mut by_header = self.by_header.borrow_mut();
        let known = by_header.find(hash(slot, name), |entry| {
            entry.slot == slot && *entry.cluster_name == *name
        });
        if let Some(entry) = known {
            return entry.clone();
        }
        // The one look-up on the data path that takes a lock (for reading): a name that this worker sees first.
        let Some(id) = self.server.cluster_names.lookup(name) else {
            return self.entry(slot, found, choice, None).clone();
        };
        let entry = self.new_entry(slot, found, choice, Some((id, name)));
        by_header.insert_unique(hash(slot, name), entry.clone(), |entry| {
            hash(entry.slot, &entry.cluster_name)
        });
        entry
    }
}

/// The number in the first value of a header.
fn number_in(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let value = headers.get_name(name.as_ref())?;
    std::str::from_utf8(value).ok()?.trim_ascii().parse().ok()
}
