//! All stats of the process.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::config::StatsConfig;
use crate::dynamic::{Counter, Gauge, Histogram, TextReadout};
use crate::group::Group;
use crate::name;
use crate::read::Kind;
use crate::schema::{Schema, Unit};
use crate::tags::{TagExtractors, UnknownTag};
use crate::thread;

/// Where groups and single stats are found again by who reads them. Cheap to clone; clones are the same store.
#[derive(Clone, Debug)]
pub struct Store {
    registry: Arc<Registry>,
    naming: Arc<Naming>,
}

/// How stats are named and shown.
#[derive(Debug, Default)]
struct Naming {
    config: StatsConfig,
    tags: TagExtractors,
}

/// Groups by prefix and schema.
type Groups = BTreeMap<(Arc<str>, &'static str), Weak<Group>>;

/// The groups alive, sorted by prefix.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    groups: Mutex<Groups>,
    singles: Mutex<Singles>,
}

/// Single stats, by full name. They live as long as the store.
#[derive(Debug, Default)]
struct Singles {
    counters: BTreeMap<String, Counter>,
    gauges: BTreeMap<String, Gauge>,
    text_readouts: BTreeMap<String, TextReadout>,
    histograms: BTreeMap<String, Histogram>,
}

/// One of the single stats.
pub(crate) enum Single<'a> {
    Counter(&'a Counter),
    Gauge(&'a Gauge),
    TextReadout(&'a TextReadout),
    Histogram(&'a Histogram),
}

impl Store {
    /// A store for `shards` threads that count (main, the workers, admin), with Envoy's default tags. Blocks are made
    /// per thread and group when first asked for, so the number is only a promise about [`Store::register_thread`].
    #[must_use]
    pub fn new(shards: usize) -> Self {
        debug_assert!(
            shards < 1 << 16,
            "thread numbers from 65536 up belong to threads that did not register"
        );
        let tags = TagExtractors::with_defaults();
        Self {
            registry: Arc::default(),
            naming: Arc::new(Naming {
                config: StatsConfig::default(),
                tags,
            }),
        }
    }

    /// As [`Store::new`], named and shown as configured.
    ///
    /// # Errors
    /// A tag that has neither a value nor an expression, and for which Envoy has no rule.
    pub fn with_config(shards: usize, mut config: StatsConfig) -> Result<Self, UnknownTag> {
        let tags = TagExtractors::new(
            config.use_all_default_tags,
            std::mem::take(&mut config.tags),
        )?;
        Ok(Self {
            naming: Arc::new(Naming { config, tags }),
            ..Self::new(shards)
        })
    }

    /// Makes the calling thread number `index` for all stores: it writes the blocks of that number. No two living
    /// threads may share a number. A thread that never registers gets a number of its own.
    pub fn register_thread(index: usize) {
        thread::register(index as u32);
    }

    /// The group of `prefix` and `schema`: the one alive, or a new one. It vanishes, with its values, when the last
    /// `Arc` is dropped. The prefix is cleaned as by [`sanitize`](crate::sanitize).
    pub fn group(&self, prefix: impl Into<Arc<str>>, schema: &'static Schema) -> Arc<Group> {
        let prefix = prefix.into();
        let prefix = match name::sanitize(&prefix) {
            Cow::Borrowed(clean) if clean.len() == prefix.len() => prefix,
            clean => Arc::from(clean),
        };
        self.registry.group(prefix, schema)
    }

    /// The counter of this full name, made if absent.
    #[must_use]
    pub fn counter(&self, name: &str) -> Counter {
        self.registry
            .singles()
            .counters
            .entry(name::sanitize(name).into_owned())
            .or_default()
            .clone()
    }

    /// The gauge of this full name, made if absent.
    #[must_use]
    pub fn gauge(&self, name: &str) -> Gauge {
        self.registry
            .singles()
            .gauges
            .entry(name::sanitize(name).into_owned())
            .or_default()
            .clone()
    }

    /// The text readout of this full name, made if absent.
    #[must_use]
    pub fn text_readout(&self, name: &str) -> TextReadout {
        self.registry
            .singles()
            .text_readouts
            .entry(name::sanitize(name).into_owned())
            .or_default()
            .clone()
    }

    /// The histogram of this full name, made (with `unit`) if absent.
    #[must_use]
    pub fn histogram(&self, name: &str, unit: Unit) -> Histogram {
        let mut singles = self.registry.singles();
        let entry = singles.histograms.entry(name::sanitize(name).into_owned());
        entry.or_insert_with(|| Histogram::new(unit)).clone()
    }

    /// Brings histograms up to date for those who read: call it on the main thread each `stats_flush_interval`. What
    /// came since the last call becomes the interval.
    pub fn merge_histograms(&self) {
        for group in self.groups() {
            group.merge_histograms();
        }
        self.for_each_single(Kind::Histogram, |_, single| {
            if let Single::Histogram(histogram) = single {
                histogram.merge();
            }
        });
    }

    /// Makes all counters zero (`/reset_counters`); they stay "used".
    pub fn reset_counters(&self) {
        for group in self.groups() {
            group.reset_counters();
        }
        self.for_each_single(Kind::Counter, |_, single| {
            if let Single::Counter(counter) = single {
                counter.reset();
            }
        });
    }

    /// How names are made into tags.
    #[must_use]
    pub fn tags(&self) -> &TagExtractors {
        &self.naming.tags
    }

    pub(crate) fn config(&self) -> &StatsConfig {
        &self.naming.config
    }

    /// The groups alive, sorted by prefix.
    pub(crate) fn groups(&self) -> Vec<Arc<Group>> {
        // Dropping a group takes the lock, so the last Arc must not be dropped under it.
        self.registry
            .groups()
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Calls `visit` with every single stat of `kind`. It must not call the store.
    pub(crate) fn for_each_single(&self, kind: Kind, mut visit: impl FnMut(&str, Single<'_>)) {
        let singles = self.registry.singles();
        match kind {
            Kind::Counter => {
                singles
                    .counters
                    .iter()
                    .for_each(|(name, stat)| visit(name, Single::Counter(stat)));
            }
            Kind::Gauge => {
                singles
                    .gauges
                    .iter()
                    .for_each(|(name, stat)| visit(name, Single::Gauge(stat)));
            }
            Kind::TextReadout => {
                let mut visit = |(name, stat): (&String, _)| visit(name, Single::TextReadout(stat));
                singles.text_readouts.iter().for_each(&mut visit);
            }
            Kind::Histogram => {
                let mut visit = |(name, stat): (&String, _)| visit(name, Single::Histogram(stat));
                singles.histograms.iter().for_each(&mut visit);
            }
        }
    }
}

impl Registry {
    /// See [`Store::group`].
    pub(crate) fn group(self: &Arc<Self>, prefix: Arc<str>, schema: &'static Schema) -> Arc<Group> {
        let mut groups = self.groups();
        let entry = groups.entry((prefix, schema.id));
        let prefix = Arc::clone(&entry.key().0);
        let place = entry.or_default();
        if let Some(group) = place.upgrade() {
            return group;
        }
        let group = Arc::new(Group::new(prefix, schema, Arc::downgrade(self)));
        *place = Arc::downgrade(&group);
        group
    }

    /// Removes `group`, unless a new one took its name while the last `Arc` of this one was going.
    pub(crate) fn forget(&self, group: &Group) {
        let key = (Arc::clone(group.prefix()), group.schema().id);
        let mut groups = self.groups();
        if groups
            .get(&key)
            .is_some_and(|entry| entry.as_ptr() == std::ptr::from_ref(group))
        {
            groups.remove(&key);
        }
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn singles(&self) -> MutexGuard<'_, Singles> {
        self.singles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
