//! Clusters whose endpoints are discovered (Envoy's `EdsClusterImpl`).
//!
//! Whoever [discovers](super::Discovery) hands assignments to [`ClusterManager::add_or_update_assignment`]; for files that is
//! [`file`].

mod file;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nuncio_config::ConfigError;
use nuncio_config::api::core::ConfigSource;
use nuncio_config::api::endpoint::ClusterLoadAssignment;
use nuncio_event::{FileWatcher, Watch};
use nuncio_sdk::ClusterId;
use nuncio_stats::{Group, TextReadout};
use tokio::task::AbortHandle;

use super::assign::assign;
use super::discovery::Subscription;
use super::merge::Update;
use super::version::Version;
use super::{Change, ClusterManager, State};
use crate::convert::{self, Assignment, EdsFrom, EdsSource, FileSource};
use crate::host::Host;
use crate::host_set::PriorityOptions;
use crate::info::ClusterInfo;
use crate::stats::{ClusterStats as S, SubscriptionStats};

/// The subscription of one version.
pub(super) struct Eds {
    service_name: Arc<str>,
    feed: Feed,
    serial: u64,
    /// There was an answer, good or bad: as in Envoy, nothing waits for a better one.
    answered: bool,
    /// The last priority that there ever was. Envoy has it for ever, and measures by it how heavy hosts are.
    pub(super) last_priority: u32,
    stats: Arc<Group>,
    version_text: TextReadout,
    /// Forgets the endpoints after `endpoint_stale_after`.
    stale: Option<AbortHandle>,
}

/// Where assignments come from.
pub(super) enum Feed {
    File {
        path: PathBuf,
        /// Reads the file again when it is replaced; ends with this.
        _watch: Option<Watch>,
    },
    /// From whoever [discovers](super::Discovery).
    Discovered {
        source: Arc<ConfigSource>,
        /// Once it may be asked for.
        subscription: Option<Subscription>,
    },
}

impl Drop for Eds {
    fn drop(&mut self) {
        self.stop_timer();
    }
}

impl Eds {
    pub(super) fn service_name(&self) -> &Arc<str> {
        &self.service_name
    }

    pub(super) fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether others than files tell.
    pub(super) fn is_discovered(&self) -> bool {
        matches!(self.feed, Feed::Discovered { .. })
    }

    /// Whether nobody was asked yet.
    pub(super) fn is_unsubscribed(&self) -> bool {
        matches!(
            self.feed,
            Feed::Discovered {
                subscription: None,
                ..
            }
        )
    }

    /// Whom to ask.
    pub(super) fn source(&self) -> Option<&Arc<ConfigSource>> {
        match &self.feed {
            Feed::Discovered { source, .. } => Some(source),
            Feed::File { .. } => None,
        }
    }

    pub(super) fn feed_mut(&mut self) -> &mut Feed {
        &mut self.feed
    }

    fn path(&self) -> Option<PathBuf> {
        match &self.feed {
            Feed::File { path, .. } => Some(path.clone()),
            Feed::Discovered { .. } => None,
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    fn stop_timer(&mut self) {
        if let Some(timer) = self.stale.take() {
            timer.abort();
        }
    }
}

/// What the endpoints of a version begin with.
pub(super) struct Begun {
    pub(super) source: EdsSource,
    pub(super) watch: Option<Watch>,
    pub(super) serial: u64,
}

/// An answer that is not taken.
pub(super) struct Refused(pub(super) Vec<ConfigError>);

impl Refused {
    fn because(path: &str, message: String) -> Self {
        Self(vec![ConfigError::new(path, message)])
    }
}

impl ClusterManager {
    /// Whoever subscribes must say who it is, as in Envoy, even to a file.
    pub(super) fn check_node(&self) -> Result<(), ConfigError> {
        let local = &self.server.local_info;
        if !local.node_id.is_empty() && !local.cluster.is_empty() {
            return Ok(());
        }
        Err(ConfigError::new(
            "eds_cluster_config",
            "node 'id' and 'cluster' are required. Set it either in 'node' config or via --service-node and --service-cluster options.",
        ))
    }

    /// Watches the file of an EDS cluster.
    pub(super) fn watch_eds(
        &self,
        file: &FileSource,
        id: ClusterId,
        serial: u64,
    ) -> Result<Watch, ConfigError> {
        let manager = self.this.clone();
        let call = move || {
            if let Some(manager) = manager.upgrade() {
                manager.read_assignment(id, serial);
            }
        };
        let watch = || -> io::Result<Watch> {
            let files = self.files()?;
            match &file.watched_directory {
                None => files.watch_file(&file.path, call),
                Some(directory) => files.watch_directory(directory, call),
            }
        };
        watch().map_err(|error| {
            let path = "eds_cluster_config.eds_config.path_config_source";
            let file = file.path.display();
            ConfigError::new(path, format!("unable to watch '{file}': {error}"))
        })
    }

    /// The watcher of all files.
    fn files(&self) -> io::Result<FileWatcher> {
        if let Some(files) = self.files.get() {
            return Ok(files.clone());
        }
        let files = FileWatcher::new()?;
        Ok(self.files.get_or_init(|| files).clone())
    }

    pub(super) fn make_eds(&self, info: &ClusterInfo, begun: Begun) -> Box<Eds> {
        let Begun {
            source,
            watch,
            serial,
        } = begun;
        let prefix = info.stats.prefix();
        Box::new(Eds {
            service_name: source.service_name,
            feed: match source.from {
                EdsFrom::File(file) => Feed::File {
                    path: file.path,
                    _watch: watch,
                },
                EdsFrom::Discovered(source) => Feed::Discovered {
                    source,
                    subscription: None,
                },
            },
            serial,
            answered: false,
            last_priority: 0,
            stats: info.stats.beside(SubscriptionStats::SCHEMA),
            version_text: (self.server.stats).text_readout(&format!("{prefix}.version_text")),
            stale: None,
        })
    }

    /// There was an answer, but no assignment.
    pub(super) fn no_assignment(&self, id: ClusterId, serial: u64) {
        // Nothing to be refused.
        let _ = self.take_assignment(id, serial, None);
    }

    pub(super) fn with_eds<T>(
        &self,
        id: ClusterId,
        serial: u64,
        call: impl FnOnce(&Arc<ClusterInfo>, &mut Eds) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        let (version, _) = find(&mut state, id, serial)?;
        let info = version.info.clone();
        Some(call(&info, version.eds.as_mut()?))
    }

    /// What the assignment is called, and how the cluster's priorities share the load.
    fn wanted(&self, id: ClusterId, serial: u64) -> Option<(Arc<str>, PriorityOptions)> {
        self.with_eds(id, serial, |info, eds| {
            (eds.service_name.clone(), info.priorities)
        })
    }

    /// Takes over an assignment; without one, only that there was an answer.
    pub(super) fn take_assignment(
        &self,
        id: ClusterId,
        serial: u64,
        message: Option<ClusterLoadAssignment>,
    ) -> Result<(), Refused> {
        let Some((service_name, priorities)) = self.wanted(id, serial) else {
            return Ok(());
        };
        let assignment = match message {
            None => None,
            Some(message) if *message.cluster_name != *service_name => {
                return Err(Refused::because(
                    "cluster_name",
                    format!(
                        "Unexpected EDS cluster (expecting {service_name}): {}",
                        message.cluster_name
                    ),
                ));
            }
            Some(message) => Some(convert::assignment(message, priorities).map_err(Refused)?),
        };
        self.apply_assignment(id, serial, assignment);
        Ok(())
    }

    fn apply_assignment(&self, id: ClusterId, serial: u64, assignment: Option<Assignment>) {
        let mut state = self.state();
        // The hosts of the version that serves now go on in one that warms.
        let serving = (state.clusters.get(&id))
            .and_then(|entry| entry.active.as_ref())
            .map(|active| active.hosts.clone());
        let Some((version, in_warming)) = find(&mut state, id, serial) else {
            return;
        };
        let was_ready = version.is_ready();
        let mut changed = false;
        let mut gone = None;
        if let Some(eds) = &mut version.eds {
            let is_first = !std::mem::replace(&mut eds.answered, true);
            if let Some(assignment) = assignment {
                eds.stop_timer();
                if let Some(after) = assignment.options.stale_after {
                    version.info.stats.inc(S::ASSIGNMENT_TIMEOUT_RECEIVED);
                    eds.stale = Some(self.forget_after(after, id, serial));
                }
                let before = match serving {
                    Some(serving) if is_first => serving,
                    _ => version.hosts.clone(),
                };
                (changed, gone) = self.set_assignment(version, &before, assignment, is_first);
            }
        }
        let is_ready = version.is_ready();
        if in_warming {
            if is_ready {
                self.activate(&mut state, id);
                if let Some(entry) = state.clusters.get_mut(&id) {
                    self.count(entry);
                }
            }
        } else if changed || (is_ready && !was_ready) {
            version.show_membership();
            // Flips that nobody has been shown yet come along: then workers compare.
            let is_all = version.flipped.as_ref().is_some_and(Vec::is_empty);
            let change = gone.filter(|_| is_all).map(|gone| Change {
                gone,
                ..Change::default()
            });
            match was_ready {
                true => self.show_update(&mut state, id, Update::Discovery, change),
                false if is_ready => self.show(&state, id),
                false => {}
            }
        }
        if is_ready {
            state.init.remove(id);
        }
        self.advance(state);
    }

    /// Returns whether something is different, and which hosts have gone, if that is known.
    fn set_assignment(
        &self,
        version: &mut Version,
        before: &super::PrioritySet,
        assignment: Assignment,
        is_first: bool,
    ) -> (bool, Option<Vec<Arc<Host>>>) {
        let Assignment {
            localities,
            options,
        } = assignment;
        let info = &version.info;
        let drops = options.drop_overload;
        let drops = drops.and_then(|drop| drop.limited(&self.runtime));
        let same_drops = match (&info.drop_overload, &drops) {
            (Some(old), Some(new)) => old.is_same(new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if info.priorities != options.priorities || !same_drops {
            version.info = Arc::new(ClusterInfo {
                priorities: options.priorities,
                drop_overload: match same_drops {
                    true => info.drop_overload.clone(),
                    false => drops.map(Arc::new),
                },
                ..ClusterInfo::clone(info)
            });
        }
        let checked = version.checkers.is_some();
        let removal = version.info.removal;
        let assigned = assign(&localities, options.priorities, before, checked, removal);
        let stats = version.info.stats.clone();
        // Envoy chooses a transport socket for each host that it makes, and makes all anew.
        stats.add(S::TOTAL_MATCH_COUNT, assigned.endpoints as u64);
        let mut change = assigned.change;
        let changed = change.changed;
        if is_first && change.count() > 0 {
            // New to this version, though the one before may have had the same.
            (change.changed, change.membership) = (true, change.membership.max(1));
        }
        let last_priority = change.last_priority();
        if let Some(eds) = &mut version.eds {
            eds.last_priority = eds.last_priority.max(last_priority);
        }
        if version.set_hosts(change) {
            self.follow_hosts(version, before);
        } else {
            stats.inc(S::UPDATE_NO_REBUILD);
        }
        (changed, assigned.gone)
    }

    fn forget_after(&self, after: Duration, id: ClusterId, serial: u64) -> AbortHandle {
        let manager = self.this.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Some(manager) = manager.upgrade() {
                manager.on_stale(id, serial);
            }
        });
        task.abort_handle()
    }

    /// The endpoints may not be used any longer.
    fn on_stale(&self, id: ClusterId, serial: u64) {
        let nothing = self.with_eds(id, serial, |info, eds| {
            info.stats.inc(S::ASSIGNMENT_STALE);
            // It is this timer that runs now.
            eds.stale = None;
            convert::assignment(ClusterLoadAssignment::default(), info.priorities).ok()
        });
        if let Some(Some(nothing)) = nothing {
            self.apply_assignment(id, serial, Some(nothing));
        }
    }
}

/// The version with this subscription, and whether it is warming.
fn find(state: &mut State, id: ClusterId, serial: u64) -> Option<(&mut Version, bool)> {
    let entry = state.clusters.get_mut(&id)?;
    entry.version_mut(|version| {
        let eds = version.eds.as_ref();
        eds.is_some_and(|eds| eds.serial == serial)
    })
}
