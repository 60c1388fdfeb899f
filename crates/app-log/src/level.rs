//! Levels.

use std::fmt;

/// A level of the application log (`-l`, `--component-log-level`, `/logging`), least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// `trace`
    Trace,
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warning`
    Warning,
    /// `error`
    Error,
    /// `critical`
    Critical,
    /// `off`: as a threshold only.
    Off,
}

/// A name that is no level's; Envoy's words on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(pub String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: invalid log level specified '{}'", self.0)
    }
}

impl std::error::Error for UnknownLevel {}

impl Level {
    /// All levels, least severe first.
    pub const ALL: [Level; 7] = [
        Level::Trace,
        Level::Debug,
        Level::Info,
        Level::Warning,
        Level::Error,
        Level::Critical,
        Level::Off,
    ];

    /// The level of this name; `warn` is `warning`.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(name: &str) -> Result<Level, UnknownLevel> {
        let known = Level::ALL.into_iter().find(|level| level.name() == name);
        match known {
            Some(level) => Ok(level),
            None if name == "warn" => Ok(Level::Warning),
            None => Err(UnknownLevel(name.to_owned())),
        }
    }

    /// The name that lines and `/logging` show.
    pub fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
            Level::Critical => "critical",
            Level::Off => "off",
        }
    }

    /// The one letter of `%L`.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Level::Trace => "T",
            Level::Debug => "D",
            Level::Info => "I",
            Level::Warning => "W",
            Level::Error => "E",
            Level::Critical => "C",
            Level::Off => "O",
        }
    }

    pub(crate) fn from_number(number: u8) -> Level {
        Level::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Level::Off)
    }

    /// What the facade must let through so that this level is seen.
    pub(crate) fn facade_filter(self) -> log::LevelFilter {
        match self {
            Level::Trace => log::LevelFilter::Trace,
            Level::Debug => log::LevelFilter::Debug,
            Level::Info => log::LevelFilter::Info,
            Level::Warning => log::LevelFilter::Warn,
            // `critical` travels as `error`.
            Level::Error | Level::Critical => log::LevelFilter::Error,
            Level::Off => log::LevelFilter::Off,
        }
    }
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Level {
        match level {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warning,
            log::Level::Info => Level::Info,
            log::Level::Debug => Level::Debug,
            log::Level::Trace => Level::Trace,
        }
    }
}
