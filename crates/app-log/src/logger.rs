//! [`AppLog`]: levels, and the way of a record to its line.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::SystemTime;

use log::{Metadata, Record};

use crate::component::{Component, UnknownComponent};
use crate::escape;
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
    pattern: Pattern,
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
            pattern: Pattern::new(&format),
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

    /// Changes the level of all components.
    pub fn set_all(&self, level: Level) {
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
        let least = self
            .levels()
            .map(|(_, level)| level)
            .min()
            .unwrap_or(Level::Off);
        log::set_max_level(least.facade_filter());
    }

    fn wants(&self, component: Component, level: Level) -> bool {
        level >= self.level(component)
    }

    fn write(&self, record: &Record<'_>) {
        let (component, level) = classify(record.metadata());
        if !self.wants(component, level) {
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
        self.pattern.write(&parts, &mut line);
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
        self.0.wants(component, level)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.write(record);
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file_log(options: Options) -> (tempfile::TempDir, PathBuf, AppLog) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = AppLog::new(Options {
            path: Some(path.clone()),
            ..options
        })
        .unwrap();
        (dir, path, log)
    }

    fn record(log: &AppLog, target: &str, level: log::Level, message: &str) {
        log.write(
            &Record::builder()
                .target(target)
                .level(level)
                .file(Some("src/x.rs"))
                .line(Some(7))
                .args(format_args!("{message}"))
                .build(),
        );
    }

    #[test]
    fn each_component_has_its_level() {
        let format = "[%l][%n][%g:%#] %v".to_owned();
        let components = parse_component_levels("upstream:debug,http:off").unwrap();
        let (_dir, path, log) = file_log(Options {
            format,
            components,
            ..Options::default()
        });
        record(&log, "nuncio_upstream::manager", log::Level::Debug, "seen");
        record(&log, "nuncio_config", log::Level::Debug, "not seen");
        record(&log, "nuncio_http", log::Level::Error, "not seen");
        record(&log, "critical:main", log::Level::Error, "the end");
        log.set_all(Level::Warning);
        record(
            &log,
            "nuncio_upstream::manager",
            log::Level::Info,
            "not seen",
        );
        log.set_level(Component::parse("runtime").unwrap(), Level::Trace);
        record(&log, "runtime", log::Level::Trace, "seen too");
        assert_eq!(
            fs::read_to_string(path).unwrap(),
            "[debug][upstream][src/x.rs:7] seen\n[critical][main][src/x.rs:7] the end\n[trace][runtime][src/x.rs:7] seen too\n"
        );
    }

    #[test]
    fn the_default_line_is_envoys() {
        let (_dir, path, log) = file_log(Options::default());
        record(&log, "nuncio_server", log::Level::Warn, "hello");
        let line = fs::read_to_string(path).unwrap();
        let (time, rest) = line.split_at("[2026-11-22 14:45:26.005]".len());
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "[0000-00-00 00:00:00.000]");
        let thread = rustix::thread::gettid().as_raw_nonzero();
        assert_eq!(
            rest,
            format!("[{thread}][warning][main] [src/x.rs:7] hello\n")
        );
    }

    #[test]
    fn escaped_lines_are_one_line() {
        let (_dir, path, log) = file_log(Options {
            format: "%v".into(),
            escaped: true,
            ..Options::default()
        });
        record(&log, "main", log::Level::Info, "a\n\"b\"");
        assert_eq!(fs::read_to_string(path).unwrap(), "a\\n\\\"b\\\"\n");
    }

    #[test]
    fn reopening_follows_the_name() {
        let (dir, path, log) = file_log(Options {
            format: "%v".into(),
            ..Options::default()
        });
        let moved = dir.path().join("log.1");
        record(&log, "main", log::Level::Info, "before");
        fs::rename(&path, &moved).unwrap();
        log.reopen().unwrap();
        record(&log, "main", log::Level::Info, "after");
        assert_eq!(fs::read_to_string(&moved).unwrap(), "before\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(log.reopen().is_err());
        record(&log, "main", log::Level::Info, "into the old file");
    }

    #[test]
    fn the_list_is_envoys() {
        let (_dir, _path, log) = file_log(Options::default());
        let list = log.list();
        assert!(
            list.starts_with("active loggers:\n  a2a: info\n  admin: info\n"),
            "{list}"
        );
        assert!(list.ends_with("  ip_tagging: info\n\n"), "{list}");
        assert_eq!(list.lines().count(), Component::COUNT + 2);
    }

    #[test]
    fn component_levels_are_read_as_envoy_does() {
        let error = |text| parse_component_levels(text).unwrap_err();
        assert_eq!(
            error("upstream"),
            "error: component log level not correctly specified 'upstream'"
        );
        assert_eq!(
            error("upstream:info,"),
            "error: component log level not correctly specified ''"
        );
        assert_eq!(
            error("a:b:c"),
            "error: component log level not correctly specified 'a:b:c'"
        );
        assert_eq!(
            error("foo:info"),
            "error: invalid component specified 'foo'"
        );
        assert_eq!(
            error("upstream:foo"),
            "error: invalid log level specified 'foo'"
        );
        assert_eq!(parse_component_levels(""), Ok(Vec::new()));
        let warn = (Component::parse("pool").unwrap(), Level::Warning);
        assert_eq!(parse_component_levels("pool:warn"), Ok(vec![warn]));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_refused() {
        let options = Options {
            path: Some("/nonexistent/x".into()),
            ..Options::default()
        };
        assert_eq!(
            AppLog::new(options).unwrap_err().to_string(),
            "Failed to open log-file '/nonexistent/x'. e.what(): unable to open file '/nonexistent/x': \
             No such file or directory"
        );
    }

    #[test]
    fn the_facade_passes_what_some_component_wants() {
        // The only test that touches the process's log.
        let log = install(Options {
            level: Level::Off,
            ..Options::default()
        })
        .unwrap();
        assert_eq!(log::max_level(), log::LevelFilter::Off);
        log.set_level(Component::parse("pool").unwrap(), Level::Debug);
        assert_eq!(log::max_level(), log::LevelFilter::Debug);
        assert!(log::log_enabled!(target: "pool", log::Level::Debug));
        assert!(!log::log_enabled!(target: "upstream", log::Level::Error));
        assert!(!log::log_enabled!(target: "pool", log::Level::Trace));
        log.set_all(Level::Critical);
        assert_eq!(log::max_level(), log::LevelFilter::Error);
        assert!(!log::log_enabled!(target: "main", log::Level::Error));
        assert!(log::log_enabled!(target: "critical:main", log::Level::Error));
        assert!(matches!(
            install(Options::default()),
            Err(InstallError::Twice)
        ));
    }
}
