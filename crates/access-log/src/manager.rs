//! The files behind access loggers: [`AccessLogManager`].

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nuncio_config::ConfigError;
use nuncio_stats::{Group, Store, stats_schema};

use crate::file::{LogFile, Output};
use crate::writer;

stats_schema! {
    /// `filesystem.*`, with Envoy's names and meanings; a line that is dropped because the writer cannot keep up
    /// counts as `write_failed`.
    pub(crate) FilesystemStats {
        counters { write_buffered, write_completed, write_failed, flushed_by_timer, reopen_failed }
        gauges { write_total_buffered }
    }
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A file, appended to, made with mode 0644 when it does not exist.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::File(path) => path.display().fmt(f),
            Destination::Stdout => f.write_str("/dev/stdout"),
            Destination::Stderr => f.write_str("/dev/stderr"),
        }
    }
}

/// When buffered lines are written.
#[derive(Clone, Copy, Debug)]
pub struct FlushOptions {
    /// `--file-flush-interval-msec`: how long a line stays buffered at most. Less than 1 ms means 1 ms.
    pub interval: Duration,
    /// `--file-flush-min-size-kb`, in bytes: a worker's buffer of this size is written without waiting.
    pub min_size: usize,
    /// Bytes that one worker may have buffered for one file; beyond it lines are dropped and counted. Never less
    /// than `min_size`.
    pub limit: usize,
}

impl Default for FlushOptions {
    /// Envoy's defaults, and 16 MiB: about a second of lines at full speed.
    fn default() -> Self {
        FlushOptions {
            interval: Duration::from_secs(10),
            min_size: 64 << 10,
            limit: 16 << 20,
        }
    }
}

/// The log files of a process, each open once, and the thread that writes them.
///
/// Workers append to buffers of their own ([`LogFile`]); the writer takes the buffers away when they are large or
/// when the flush interval is over, without waking a worker. The thread is started with the first file.
pub struct AccessLogManager {
    shared: Arc<Shared>,
    /// Buffers per file: one per worker and one for all other threads.
    shards: usize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the manager, its files and the writer thread share.
pub(crate) struct Shared {
    pub(crate) options: FlushOptions,
    pub(crate) stats: Arc<Group>,
    state: Mutex<State>,
    /// The writer waits here.
    pub(crate) work: Condvar,
    /// Who waits for a pass of the writer.
    pub(crate) done: Condvar,
}

/// The writer's orders and progress.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) files: HashMap<Destination, Arc<LogFile>>,
    /// A buffer is large.
    pub(crate) large: bool,
    /// Passes over all buffers that were asked for, and the last of them that is complete.
    pub(crate) asked: u64,
    pub(crate) completed: u64,
    pub(crate) reopen: bool,
    pub(crate) stop: bool,
    /// The writer has ended: who writes now does so alone.
    pub(crate) ended: bool,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock; if it did, orders would at worst be repeated.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the writer that a buffer is large. Called once per `min_size` bytes, not once per line.
    pub(crate) fn buffer_is_large(&self) {
        self.state().large = true;
        self.work.notify_one();
    }
}

impl AccessLogManager {
    /// A manager for `concurrency` workers, whose stats are `filesystem.*` of `stats`.
    pub fn new(stats: &Store, concurrency: usize, options: FlushOptions) -> AccessLogManager {
        let options = FlushOptions {
            interval: options.interval.max(Duration::from_millis(1)),
            limit: options.limit.max(options.min_size),
            ..options
        };
        let shared = Shared {
            options,
            stats: stats.group("filesystem", FilesystemStats::SCHEMA),
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
        };
        AccessLogManager {
            shared: Arc::new(shared),
            shards: concurrency + 1,
            thread: Mutex::default(),
        }
    }

    /// Opens a file, or shares it when it is already open. It is closed when the last logger that uses it is gone
    /// and its lines are written.
    ///
    /// # Errors
    /// When the file cannot be opened or the writer thread cannot be started, in Envoy's words.
    pub fn open(&self, destination: &Destination) -> Result<Arc<LogFile>, ConfigError> {
        let mut state = self.shared.state();
        if let Some(file) = state.files.get(destination) {
            return Ok(Arc::clone(file));
        }
        let output = Output::open(destination).map_err(|e| {
            ConfigError::new(
                "",
                format!("unable to open file '{destination}': {}", plain_message(&e)),
            )
        })?;
        self.start_writer()?;
        let file = Arc::new(LogFile::new(
            destination.clone(),
            output,
            self.shards,
            Arc::clone(&self.shared),
        ));
        state.files.insert(destination.clone(), Arc::clone(&file));
        Ok(file)
    }

    /// Opens all files anew by their names (SIGUSR1, `/reopen_logs`), after what is buffered was written. A file
    /// that cannot be opened stays as it is, and `filesystem.reopen_failed` counts.
    pub fn reopen(&self) {
        self.shared.state().reopen = true;
        self.shared.work.notify_one();
    }

    /// Writes what is buffered now, and returns when that is done.
    pub fn flush(&self) {
        let mut state = self.shared.state();
        if state.files.is_empty() {
            return;
        }
        state.asked += 1;
        let pass = state.asked;
        self.shared.work.notify_one();
        while state.completed < pass && !state.ended {
            state = self
                .shared
                .done
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what is buffered and ends the writer. Lines that come later are lost, so workers must have stopped.
    pub fn shutdown(&self) {
        self.shared.state().stop = true;
        self.shared.work.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            log::error!("the access log writer has panicked");
        }
    }

    fn start_writer(&self) -> Result<(), ConfigError> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let started = std::thread::Builder::new()
                .name("access_log".into())
                // It formats nothing and recurses nowhere.
                .stack_size(128 << 10)
                .spawn(move || writer::run(&shared));
            let started = started.map_err(|e| {
                ConfigError::new(
                    "",
                    format!(
                        "unable to start the access log writer: {}",
                        plain_message(&e)
                    ),
                )
            })?;
            *thread = Some(started);
        }
        Ok(())
    }
}

impl fmt::Debug for AccessLogManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLogManager")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Drop for AccessLogManager {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The system's message without Rust's ` (os error 2)`.
fn plain_message(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}
