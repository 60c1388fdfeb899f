//! [`AppLog`]: levels, and the way of a record to its line.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use log::{Metadata, Record};

use crate::component::{Component, UnknownComponent};
use crate::escape;
use crate::fine_grain::{Files, FineGrain};
use crate::level::{Level, UnknownLevel};
use crate::pattern::{DEFAULT_PATTERN, Line, Pattern};
use crate::sink::Sink;

/// What precedes the component in the target of a [`critical!`](crate::critical) record.
const CRITICAL: &str = "critical:";

thread_local! {
    /// Message and line, to be reused.
    static BUFFERS: RefCell<(String, Vec<u8>)> = const { RefCell::new((String::new(), Vec::new())) };
    static THREAD: u32 = rustix::thread::gettid().as_raw_nonzero().get() as u32;
}

/// How to log.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--log-level`
    pub level: Level,
    /// `--component-log-level`, as [`parse_component_levels`] reads it.
    pub components: Vec<(Component, Level)>,
    /// `--enable-fine-grain-logging`: a level for each file instead of one for each component.
    pub fine_grain: bool,
    /// `--log-path`; standard error when absent.
    pub path: Option<PathBuf>,
    /// `--log-format`
    pub format: String,
    /// `--log-format-escaped`: C escapes for whatever is not printable.
    pub escaped: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            level: Level::Info,
            components: Vec::new(),
            fine_grain: false,
            path: None,
            format: DEFAULT_PATTERN.to_owned(),
            escaped: false,
        }
    }
}

/// The log could not be set up.
#[derive(Debug)]
pub enum InstallError {
    /// The file of `--log-path`.
    File(PathBuf, io::Error),
    /// There is a log already.
    Twice,
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::File(path, error) => {
                let path = path.display();
                let error = error.to_string();
                // The system's message without Rust's ` (os error 2)`.
                let error = error.split(" (os error ").next().unwrap_or("");
                write!(
                    f,
                    "Failed to open log-file '{path}'. e.what(): unable to open file '{path}': {error}"
                )
            }
            InstallError::Twice => f.write_str("the application log is installed already"),
        }
    }
}

impl std::error::Error for InstallError {}

/// Reads `--component-log-level`: `upstream:debug,config:trace`.
///
/// # Errors
/// Envoy's words for what is malformed or not known.
pub fn parse_component_levels(text: &str) -> Result<Vec<(Component, Level)>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parse = |entry: &str| {
        let (component, level) = entry
            .split_once(':')
            .filter(|(_, level)| !level.contains(':'))
            .ok_or_else(|| {
                format!("error: component log level not correctly specified '{entry}'")
            })?;
        let level =
            Level::parse(level).map_err(|UnknownLevel(name)| UnknownLevel(name).to_string())?;
        let component = Component::parse(component)
            .map_err(|UnknownComponent(name)| UnknownComponent(name).to_string())?;
        Ok((component, level))
    };
    text.split(',').map(parse).collect()
}

/// The application log of the process.
pub struct AppLog {
    levels: [AtomicU8; Component::COUNT],
    fine_grain: Option<FineGrain>,
    pattern: RwLock<Pattern>,
    escaped: bool,
    sink: Sink,
}

/// Makes the log of the process, to which `log`'s macros write from now on.
///
/// # Errors
/// When the file cannot be opened, or a log was installed before.
pub fn install(options: Options) -> Result<Arc<AppLog>, InstallError> {
    let log = Arc::new(AppLog::new(options)?);
    log::set_boxed_logger(Box::new(Facade(Arc::clone(&log)))).map_err(|_| InstallError::Twice)?;
    log.update_facade();
    Ok(log)
}

impl AppLog {
    fn new(options: Options) -> Result<AppLog, InstallError> {
        let Options {
            level,
            components,
            fine_grain,
            path,
            format,
            escaped,
        } = options;
        let sink = match path {
            None => Sink::Stderr,
            Some(path) => Sink::file(&path).map_err(|error| InstallError::File(path, error))?,
        };
        let levels = [const { AtomicU8::new(0) }; Component::COUNT];
        let log = AppLog {
            levels,
            fine_grain: fine_grain.then(|| FineGrain::new(level)),
            pattern: RwLock::new(Pattern::new(&format)),
            escaped,
            sink,
        };
        for component in Component::all() {
            log.store(component, level);
        }
        for (component, level) in components {
            log.store(component, level);
        }
        Ok(log)
    }

    /// The level of a component: what is less severe is not logged.
    pub fn level(&self, component: Component) -> Level {
        Level::from_number(self.levels[component.index()].load(Relaxed))
    }

    /// All components and their levels, in Envoy's order.
    pub fn levels(&self) -> impl Iterator<Item = (Component, Level)> {
        Component::all().map(|component| (component, self.level(component)))
    }

    /// Changes the level of a component, for all threads, from the next record on.
    pub fn set_level(&self, component: Component, level: Level) {
        self.store(component, level);
        self.update_facade();
    }

    /// The files that are known and their levels, sorted; `None` without fine-grain logging.
    pub fn file_levels(&self) -> Option<Vec<(&'static str, Level)>> {
        self.fine_grain.as_ref().map(FineGrain::levels)
    }

    /// Changes the level of files, with fine-grain logging.
    pub fn set_files(&self, files: Files, level: Level) {
        if let Some(fine) = &self.fine_grain {
            fine.set(files, level);
            self.update_facade();
        }
    }

    /// Changes the level of all components, or all files.
    pub fn set_all(&self, level: Level) {
        if let Some(fine) = &self.fine_grain {
            fine.set_all(level);
        }
        for component in Component::all() {
            self.store(component, level);
        }
        self.update_facade();
    }

    /// What `/logging` answers: `active loggers:`, then `  name: level` for each, then an empty line.
    pub fn list(&self) -> String {
        let mut out = String::from("active loggers:\n");
        for (component, level) in self.levels() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {}: {}", component.name(), level.name());
        }
        out.push('\n');
        out
    }

    /// Changes how lines look, from the next record on (`Bootstrap.application_log_config`).
    pub fn set_pattern(&self, pattern: Pattern) {
        *self.pattern.write().unwrap_or_else(PoisonError::into_inner) = pattern;
    }

    /// Opens the file of `--log-path` anew (SIGUSR1, `/reopen_logs`).
    ///
    /// # Errors
    /// When it cannot be opened; the old file stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        self.sink.reopen()
    }

    fn store(&self, component: Component, level: Level) {
        self.levels[component.index()].store(level as u8, Relaxed);
    }

    /// Tells the facade the least severe level that any component wants: what is below costs its callers one load.
    fn update_facade(&self) {
        let least = match &self.fine_grain {
            Some(fine) => fine.least(),
            None => {
                let levels = self.levels().map(|(_, level)| level);
                levels.min().unwrap_or(Level::Off)
            }
        };
        log::set_max_level(least.facade_filter());
    }

    fn wants(&self, component: Component, level: Level) -> bool {
        level >= self.level(component)
    }

    fn write(&self, record: &Record<'_>) {
        let (component, level) = classify(record.metadata());
        let wanted = match (&self.fine_grain, record.file_static()) {
            (Some(fine), Some(file)) => level >= fine.level(file, component),
            _ => self.wants(component, level),
        };
        if !wanted {
            return;
        }
        // Taken, not borrowed: what is logged may itself log while it is being formatted.
        let (mut formatted, mut line) = BUFFERS.take();
        let message = match record.args().as_str() {
            Some(text) => text,
            None => {
                formatted.clear();
                // A value that cannot be formatted leaves a shorter message.
                let _ = formatted.write_fmt(*record.args());
                &formatted
            }
        };
        line.clear();
        let parts = Line {
            time: SystemTime::now(),
            level,
            component,
            thread: THREAD.with(|thread| *thread),
            file: record.file().unwrap_or(""),
            line: record.line().unwrap_or(0),
            module: record.module_path().unwrap_or(""),
            message,
        };
        let pattern = self.pattern.read().unwrap_or_else(PoisonError::into_inner);
        pattern.write(&parts, &mut line);
        drop(pattern);
        line.push(b'\n');
        if self.escaped {
            escape::escape_line(&mut line);
        }
        self.sink.write(&line);
        BUFFERS.set((formatted, line));
    }
}

impl fmt::Debug for AppLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppLog").finish_non_exhaustive()
    }
}

/// Component and level of a record.
fn classify(metadata: &Metadata<'_>) -> (Component, Level) {
    match metadata.target().strip_prefix(CRITICAL) {
        Some(target) => (Component::of_target(target), Level::Critical),
        None => (
            Component::of_target(metadata.target()),
            metadata.level().into(),
        ),
    }
}

/// The end of the facade.
struct Facade(Arc<AppLog>);

impl log::Log for Facade {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let (component, level) = classify(metadata);
        // With fine-grain logging the file decides, which is not known here.
        self.0.fine_grain.is_some() || self.0.wants(component, level)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.write(record);
    }

    fn flush(&self) {}
}
