//! `--enable-fine-grain-logging`: a level for each source file instead of one for each component.
//!
//! As in Envoy, a file is known once it has logged something, and what was set for it by a pattern before is in force then.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::component::Component;
use crate::level::Level;

/// Which files a level is set for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// A pattern with `*` and `?`, without the extension: of the whole path if it has a slash, else of the file's name.
    Matching(String),
    /// Those of a component.
    Group(String),
}

impl Files {
    fn has(&self, file: &str, component: Component) -> bool {
        match self {
            Files::Group(name) => component.name() == name,
            Files::Matching(pattern) => {
                let (pattern, file) = (without_extension(pattern), without_extension(file));
                let shown = match pattern.contains('/') {
                    true => file,
                    false => file.rsplit('/').next().unwrap_or(file),
                };
                matches(pattern.as_bytes(), shown.as_bytes())
            }
        }
    }
}

fn without_extension(path: &str) -> &str {
    path.strip_suffix(".rs").unwrap_or(path)
}

/// Whether `pattern` (`*`: anything, `?`: one byte) is all of `text`; in time that grows with the product of their lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and up to where it has eaten.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                None => return false,
                Some((at, eaten)) => {
                    *eaten += 1;
                    (p, t) = (*at + 1, *eaten);
                }
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The levels of files.
#[derive(Debug)]
pub(crate) struct FineGrain(RwLock<State>);

#[derive(Debug)]
struct State {
    default: Level,
    /// The later one counts.
    settings: Vec<(Files, Level)>,
    known: BTreeMap<&'static str, (Component, Level)>,
}

/// Settings that are remembered; older ones are forgotten, though what they did to known files stays.
const MAX_SETTINGS: usize = 256;

impl FineGrain {
    pub(crate) fn new(default: Level) -> Self {
        Self(RwLock::new(State {
            default,
            settings: Vec::new(),
            known: BTreeMap::new(),
        }))
    }

    /// The level of a file that logs under this component; it is known from now on.
    pub(crate) fn level(&self, file: &'static str, component: Component) -> Level {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, level)) = state.known.get(file) {
            return *level;
        }
        drop(state);
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let set = state.settings.iter().rev();
        let set = set.clone().find(|(files, _)| files.has(file, component));
        let level = set.map_or(state.default, |(_, level)| *level);
        state.known.insert(file, (component, level));
        level
    }

    /// The files that are known, sorted.
    pub(crate) fn levels(&self) -> Vec<(&'static str, Level)> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = state.known.iter();
        known.map(|(file, (_, level))| (*file, *level)).collect()
    }

    /// Sets the level of all files.
    pub(crate) fn set_all(&self, level: Level) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.default = level;
        state.settings.clear();
        for (_, now) in state.known.values_mut() {
            *now = level;
        }
    }

    /// Sets the level of some.
    pub(crate) fn set(&self, files: Files, level: Level) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (file, (component, now)) in &mut state.known {
            if files.has(file, *component) {
                *now = level;
            }
        }
        state.settings.retain(|(known, _)| *known != files);
        if state.settings.len() == MAX_SETTINGS {
            state.settings.remove(0);
        }
        state.settings.push((files, level));
    }

    /// The least severe level that any file may want.
    pub(crate) fn least(&self) -> Level {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let set = state.settings.iter().map(|(_, level)| *level);
        let known = state.known.values().map(|(_, level)| *level);
        set.chain(known)
            .min()
            .unwrap_or(state.default)
            .min(state.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let of = |pattern: &str| Files::Matching(pattern.to_owned());
        let main = Component::parse("main").unwrap();
        let has = |pattern: &str| of(pattern).has("crates/upstream/src/pool/connect.rs", main);
        for pattern in [
            "connect",
            "connect.rs",
            "con*",
            "c?nnect",
            "*",
            "crates/upstream/src/pool/connect.rs",
            "crates/upstream/*",
            "*/pool/*",
            "**/connect",
        ] {
            assert!(has(pattern), "{pattern}");
        }
        for pattern in ["", "connec", "pool", "crates/upstream", "src/*", "*/pool"] {
            assert!(!has(pattern), "{pattern}");
        }
        assert!(Files::Group("main".into()).has("x.rs", main));
        assert!(!Files::Group("pool".into()).has("x.rs", main));
    }

    #[test]
    fn what_was_set_last_counts() {
        let (main, pool) = (
            Component::parse("main").unwrap(),
            Component::parse("pool").unwrap(),
        );
        let fine = FineGrain::new(Level::Info);
        assert_eq!(fine.level("a/x.rs", main), Level::Info);
        fine.set(Files::Matching("y*".into()), Level::Debug);
        assert_eq!(
            (fine.level("a/y.rs", main), fine.least()),
            (Level::Debug, Level::Debug)
        );
        fine.set(Files::Group("pool".into()), Level::Error);
        assert_eq!(fine.level("a/yy.rs", pool), Level::Error);
        fine.set(Files::Matching("a/*".into()), Level::Trace);
        assert_eq!(
            fine.levels(),
            [
                ("a/x.rs", Level::Trace),
                ("a/y.rs", Level::Trace),
                ("a/yy.rs", Level::Trace)
            ]
        );
        fine.set_all(Level::Warning);
        assert_eq!(
            (fine.level("a/y.rs", main), fine.least()),
            (Level::Warning, Level::Warning)
        );
        assert_eq!(fine.level("b/new.rs", main), Level::Warning);
    }

    #[test]
    fn settings_are_limited() {
        let fine = FineGrain::new(Level::Info);
        for i in 0..2 * MAX_SETTINGS {
            fine.set(Files::Matching(format!("{i}")), Level::Debug);
        }
        assert_eq!(fine.0.read().unwrap().settings.len(), MAX_SETTINGS);
    }
}
