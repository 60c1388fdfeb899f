//! The runtime: values that operators change while the proxy runs (`LayeredRuntime`, `/runtime_modify`).
//!
//! Who is configured with a key asks once, for a handle ([`RuntimeInteger`] and its like); reading that is one load of an atomic
//! that all threads share, or of nothing but a constant where no layer can set the key. Who must do something when values
//! change is called ([`Runtime::on_change`]). Nobody looks up a name while requests wait.

mod entry;
mod layer;
mod watched;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nuncio_config::api::bootstrap::LayeredRuntime;
use nuncio_config::api::core::RuntimeFractionalPercent;
use nuncio_config::convert::{self, Fraction};
use nuncio_config::{ConfigError, Within};
use nuncio_stats::{Group, Store, stats_schema};

pub use entry::Entry;
use layer::{Entries, Layer, Source};
use watched::Watched;
pub use watched::{RuntimeBool, RuntimeDouble, RuntimeFraction, RuntimeInteger};

stats_schema! {
    /// `runtime.`
    pub RuntimeStats {
        counters {
            deprecated_feature_use,
            load_error,
            load_success,
            override_dir_exists,
            override_dir_not_exists,
        }
        gauges {
            admin_overrides_active,
            deprecated_feature_seen_since_process_start,
            num_keys,
            num_layers,
        }
    }
}

/// All values at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Names of the layers, the last one prevails, and what each of them holds.
    layers: Vec<(Arc<str>, Arc<Entries>)>,
    values: HashMap<String, Entry>,
}

impl Snapshot {
    /// The value of a key, if a layer sets it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.values.get(key)
    }

    /// The value as a whole number.
    pub fn integer(&self, key: &str) -> Option<u64> {
        self.get(key)?.integer
    }

    /// Whether no layer sets anything.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether a key begins with this.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.values.keys().any(|key| key.starts_with(prefix))
    }

    /// Names of the layers; the last one prevails.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|(name, _)| &**name)
    }

    /// All keys in order, and what each layer holds of them: empty for nothing.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        let mut keys: Vec<&str> = self.values.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys.into_iter().map(|key| {
            let values = self.layers.iter();
            let values =
                values.map(|(_, entries)| entries.get(key).map_or("", |entry| &*entry.raw));
            (key, values.collect())
        })
    }
}

/// Told of every change.
type OnChange = Box<dyn Fn(&Snapshot) + Send + Sync>;

/// The layers, and who watches their values.
#[derive(Default)]
pub struct Runtime {
    layers: Box<[Layer]>,
    stats: Option<Arc<Group>>,
    state: Mutex<State>,
    on_change: Mutex<Vec<OnChange>>,
}

#[derive(Default)]
struct State {
    /// `/runtime_modify`
    overrides: Entries,
    snapshot: Arc<Snapshot>,
    watched: HashMap<Box<str>, Weak<Watched>>,
    /// Keys whose values were read once and for all.
    pinned: HashSet<Box<str>>,
    /// From how many keys on it is worth while to look for those that nobody watches any more.
    sweep_at: usize,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}

/// How often the links of disk layers are looked at.
const WATCH: Duration = Duration::from_secs(1);

impl Runtime {
    /// The runtime of a bootstrap, with what its layers hold now. `cluster`: the one that this proxy belongs to.
    pub fn new(config: Option<LayeredRuntime>, cluster: &str, stats: &Store) -> Arc<Self> {
        let runtime = Arc::new(Self {
            layers: layer::layers(config, cluster),
            stats: Some(stats.group("runtime", RuntimeStats::SCHEMA)),
            ..Self::default()
        });
        // Envoy's loader loads twice while it starts.
        for _ in 0..2 {
            runtime.load(&mut runtime.state());
        }
        runtime
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever was interrupted is loaded again with the next change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No layer can change.
    fn is_fixed(&self) -> bool {
        let mut layers = self.layers.iter();
        layers.all(|layer| matches!(layer.source, Source::Static(_)))
    }

    /// All values as they are now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.state().snapshot.clone()
    }

    fn watch(&self, key: &str) -> Option<Arc<Watched>> {
        if key.is_empty() {
            return None;
        }
        let mut state = self.state();
        if self.is_fixed() {
            let entry = state.snapshot.get(key)?;
            return Some(Arc::new(Watched::new(Some(entry))));
        }
        if let Some(known) = state.watched.get(key).and_then(Weak::upgrade) {
            return Some(known);
        }
        if state.watched.len() >= state.sweep_at {
            state.watched.retain(|_, known| known.strong_count() > 0);
            state.sweep_at = 2 * state.watched.len() + 64;
        }
        let watched = Arc::new(Watched::new(state.snapshot.get(key)));
        state.watched.insert(key.into(), Arc::downgrade(&watched));
        Some(watched)
    }

    /// A whole number.
    pub fn integer(&self, key: &str, default: u64) -> RuntimeInteger {
        RuntimeInteger::new(self.watch(key), default)
    }

    /// A number.
    pub fn double(&self, key: &str, default: f64) -> RuntimeDouble {
        RuntimeDouble::new(self.watch(key), default)
    }

    /// A switch.
    pub fn boolean(&self, key: &str, default: bool) -> RuntimeBool {
        RuntimeBool::new(self.watch(key), default)
    }

    /// A share.
    pub fn fraction(&self, key: &str, default: Fraction) -> RuntimeFraction {
        RuntimeFraction::new(self.watch(key), default)
    }

    /// The share that a field asks for.
    ///
    /// # Errors
    /// A value that is not there, or that is no fraction.
    pub fn share(&self, field: &RuntimeFractionalPercent) -> Result<RuntimeFraction, ConfigError> {
        let RuntimeFractionalPercent {
            default_value,
            runtime_key,
        } = field;
        let value = match default_value {
            Some(value) => convert::fraction(value),
            None => Err(ConfigError::new("", "value is required")),
        };
        Ok(self.fraction(runtime_key, value.within("default_value")?))
    }

    /// A whole number as it is now; from now on the key [cannot be changed](Self::modify).
    pub fn pinned_integer(&self, key: &str, default: u64) -> u64 {
        let value = self.pinned(key).and_then(|entry| entry.integer);
        value.unwrap_or(default)
    }

    /// A number as it is now; from now on the key [cannot be changed](Self::modify).
    pub fn pinned_double(&self, key: &str, default: f64) -> f64 {
        let value = self.pinned(key).and_then(|entry| entry.double);
        value.unwrap_or(default)
    }

    fn pinned(&self, key: &str) -> Option<Entry> {
        let mut state = self.state();
        if !self.is_fixed() && !state.pinned.contains(key) {
            state.pinned.insert(key.into());
        }
        state.snapshot.get(key).cloned()
    }

    /// Calls `call` now and after every change, on the thread that makes it; with it no change is made, and no handle asked for.
    pub fn on_change(&self, call: impl Fn(&Snapshot) + Send + Sync + 'static) {
        call(&self.snapshot());
        if !self.is_fixed() {
            let mut calls = self
                .on_change
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            calls.push(Box::new(call));
        }
    }

    /// Sets overrides of the admin layer; an empty text takes one away.
    ///
    /// # Errors
    /// There is no such layer, a text is no YAML, or nothing would follow the change. Nothing is changed then.
    pub fn modify<'a>(
        &self,
        overrides: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), String> {
        let is_admin = |layer: &Layer| matches!(layer.source, Source::Admin);
        if !self.layers.iter().any(is_admin) {
            return Err("No admin layer specified".into());
        }
        let mut changed = Vec::new();
        for (key, text) in overrides {
            if nuncio_config::is_unread_runtime_key(key) || self.state().pinned.contains(key) {
                return Err(format!(
                    "unsupported: nothing would follow a change of {key}"
                ));
            }
            let entry = match text.is_empty() {
                true => None,
                false => Some(layer::read(text)?),
            };
            changed.push((key, entry));
        }
        let mut state = self.state();
        for (key, entry) in changed {
            match entry {
                None => _ = state.overrides.remove(key),
                Some(entry) => _ = state.overrides.insert(key.into(), entry),
            }
        }
        self.load(&mut state);
        let snapshot = state.snapshot.clone();
        drop(state);
        self.tell(&snapshot);
        Ok(())
    }

    /// Reads everything again when the link of a disk layer was replaced; never ends. Envoy is told by the kernel, here
    /// the link is looked at every second.
    pub async fn watch_links(&self) {
        let links = || -> Vec<Option<(u64, i64, i64)>> {
            let facts = self.disks().map(|disk| {
                let facts = std::fs::symlink_metadata(&disk.root).ok()?;
                Some((facts.ino(), facts.ctime(), facts.ctime_nsec()))
            });
            facts.collect()
        };
        let mut known = links();
        if known.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(WATCH).await;
            let now = links();
            if now != known {
                known = now;
                let mut state = self.state();
                self.load(&mut state);
                let snapshot = state.snapshot.clone();
                drop(state);
                self.tell(&snapshot);
            }
        }
    }

    fn disks(&self) -> impl Iterator<Item = &layer::Disk> {
        self.layers.iter().filter_map(|layer| match &layer.source {
            Source::Disk(disk) => Some(disk),
            Source::Static(_) | Source::Admin => None,
        })
    }

    /// Makes a new snapshot, and changes what handles read.
    fn load(&self, state: &mut State) {
        let mut snapshot = Snapshot::default();
        let (mut disks, mut failed) = (0, false);
        for layer in &self.layers {
            let entries = match &layer.source {
                Source::Static(entries) => entries.clone(),
                Source::Admin => state.overrides.clone(),
                Source::Disk(disk) => match disk.load() {
                    Ok(Some(entries)) => {
                        disks += 1;
                        entries
                    }
                    Ok(None) => continue,
                    Err(error) => {
                        log::warn!(
                            "error loading runtime values of layer {}: {error}",
                            layer.name
                        );
                        failed = true;
                        continue;
                    }
                },
            };
            snapshot.values.extend(entries.clone());
            snapshot
                .layers
                .push((layer.name.as_str().into(), Arc::new(entries)));
        }
        for (key, watched) in &state.watched {
            if let Some(watched) = watched.upgrade() {
                watched.set(snapshot.get(key));
            }
        }
        if let Some(stats) = &self.stats {
            stats.inc(match failed {
                true => RuntimeStats::LOAD_ERROR,
                false => RuntimeStats::LOAD_SUCCESS,
            });
            // Envoy asks for more than one.
            stats.inc(match disks > 1 {
                true => RuntimeStats::OVERRIDE_DIR_EXISTS,
                false => RuntimeStats::OVERRIDE_DIR_NOT_EXISTS,
            });
            let overridden = u64::from(!state.overrides.is_empty());
            if overridden > 0 || stats.gauge(RuntimeStats::ADMIN_OVERRIDES_ACTIVE) > 0 {
                stats.gauge_set(RuntimeStats::ADMIN_OVERRIDES_ACTIVE, overridden);
            }
            stats.gauge_set(RuntimeStats::NUM_KEYS, snapshot.values.len() as u64);
            stats.gauge_set(RuntimeStats::NUM_LAYERS, snapshot.layers.len() as u64);
        }
        state.snapshot = Arc::new(snapshot);
    }

    fn tell(&self, snapshot: &Snapshot) {
        let calls = self
            .on_change
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for call in &*calls {
            call(snapshot);
        }
    }
}
