//! Substitution formatter and access loggers.
//!
//! * [`Formatter`]: Envoy's format language (`%REQ(X?Y):Z%` …), compiled once. It serves access logs, header values
//!   (`request_headers_to_add` …), local replies and direct responses alike;
//! * [`Format`]: a `SubstitutionFormatString`, which may also be JSON;
//! * [`Filter`]: `AccessLogFilter`, decides which entries a logger writes;
//! * [`create_loggers`] and the factories [`FILE`], [`STDOUT`], [`STDERR`];
//! * [`AccessLogManager`]: the files behind the loggers, and the one thread that writes them.
//!
//! What is absent: nothing here knows of routes, clusters or sockets. A worker that logs formats into a buffer of
//! its own; it never opens, writes or waits for a file.

mod file;
mod filter;
mod format;
mod formatter;
mod logger;
mod manager;
#[cfg(test)]
mod testing;
mod writer;

pub use file::LogFile;
pub use filter::{
    Comparison, Filter, FilterMatchers, HeaderPredicate, MetadataFilter, MetadataPredicate,
};
pub use format::Format;
pub use formatter::{DEFAULT_FORMAT, Formatter};
pub use logger::{FILE, FileFactory, STDERR, STDOUT, StderrFactory, StdoutFactory, create_loggers};
pub use manager::{AccessLogManager, Destination, FlushOptions};
