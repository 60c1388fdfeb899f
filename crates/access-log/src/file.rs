//! One log file: a buffer per worker, and what they are written to.

use std::cell::RefCell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nuncio_stats::LocalGroup;

use crate::manager::{Destination, FilesystemStats, Shared};

thread_local! {
    /// This thread's stats, and the group they belong to (a process has one, tests have many).
    static STATS: RefCell<Option<(usize, LocalGroup)>> = const { RefCell::new(None) };
}

/// Lines of one thread, on cache lines of their own.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<Vec<u8>>);

/// An open log file, shared by all loggers of its destination.
pub struct LogFile {
    destination: Destination,
    /// One per worker; the last is for all other threads.
    shards: Box<[Shard]>,
    output: Mutex<Output>,
    shared: Arc<Shared>,
}

impl LogFile {
    pub(crate) fn new(
        destination: Destination,
        output: Output,
        shards: usize,
        shared: Arc<Shared>,
    ) -> LogFile {
        let shards = (0..shards.max(1)).map(|_| Shard::default()).collect();
        LogFile {
            destination,
            shards,
            output: Mutex::new(output),
            shared,
        }
    }

    /// Lets `append` put whole lines behind those that this thread has buffered. It must only append.
    ///
    /// Takes the lock of this worker's buffer, which nobody else wants but the writer, for the moment in which it
    /// takes the buffer away: two uncontended atomic instructions a line, no syscall.
    pub fn write_with(&self, append: impl FnOnce(&mut Vec<u8>)) {
        let last = self.shards.len() - 1;
        let index = nuncio_event::worker_index().unwrap_or(last).min(last);
        let options = &self.shared.options;
        let mut buffer = lock(&self.shards[index].0);
        let before = buffer.len();
        if before >= options.limit {
            drop(buffer);
            return self.with_stats(|stats| stats.inc(FilesystemStats::WRITE_FAILED));
        }
        append(&mut buffer);
        let after = buffer.len();
        drop(buffer);
        self.with_stats(|stats| {
            stats.inc(FilesystemStats::WRITE_BUFFERED);
            stats.gauge_add(
                FilesystemStats::WRITE_TOTAL_BUFFERED,
                after.saturating_sub(before) as u64,
            );
        });
        if before < options.min_size && after >= options.min_size {
            self.shared.buffer_is_large();
        }
    }

    fn with_stats(&self, count: impl FnOnce(&LocalGroup)) {
        let group = Arc::as_ptr(&self.shared.stats) as usize;
        STATS.with_borrow_mut(|stats| match stats {
            Some((of, local)) if *of == group => count(local),
            _ => count(&stats.insert((group, self.shared.stats.local())).1),
        });
    }

    /// Writes buffers of at least `threshold` bytes. `spare` is an empty buffer to be left in place of the next one
    /// that is taken away; it comes back empty.
    pub(crate) fn drain(&self, threshold: usize, spare: &mut Vec<u8>) {
        for shard in &self.shards {
            let mut buffer = lock(&shard.0);
            if buffer.is_empty() || buffer.len() < threshold {
                continue;
            }
            std::mem::swap(&mut *buffer, spare);
            drop(buffer);
            self.write(spare);
            spare.clear();
            // A burst does not keep its memory.
            spare.shrink_to(2 * self.shared.options.min_size);
        }
    }

    fn write(&self, lines: &[u8]) {
        let written = lock(&self.output).write(lines);
        self.with_stats(|stats| {
            stats.gauge_sub(FilesystemStats::WRITE_TOTAL_BUFFERED, lines.len() as u64);
            stats.inc(match written {
                Ok(()) => FilesystemStats::WRITE_COMPLETED,
                Err(_) => FilesystemStats::WRITE_FAILED,
            });
        });
        if let Err(error) = written {
            log::debug!(
                "unable to write to access log '{}': {error}",
                self.destination
            );
        }
    }

    /// Keeps the writer from writing, as a slow disk would.
    #[cfg(test)]
    pub(crate) fn hold_output(&self) -> MutexGuard<'_, impl Sized> {
        lock(&self.output)
    }

    /// Opens the destination anew; the old file stays in use when that fails.
    pub(crate) fn reopen(&self) {
        match Output::open(&self.destination) {
            Ok(output) => *lock(&self.output) = output,
            Err(error) => {
                self.with_stats(|stats| stats.inc(FilesystemStats::REOPEN_FAILED));
                log::warn!(
                    "unable to reopen access log '{}': {error}",
                    self.destination
                );
            }
        }
    }
}

impl fmt::Debug for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFile")
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

/// What lines are written to.
pub(crate) struct Output(File);

impl Output {
    pub(crate) fn open(destination: &Destination) -> io::Result<Output> {
        let file = match destination {
            Destination::File(path) => OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o644)
                .open(path)?,
            // Past the standard library's own line buffers: a chunk is one write.
            Destination::Stdout => io::stdout().as_fd().try_clone_to_owned()?.into(),
            Destination::Stderr => io::stderr().as_fd().try_clone_to_owned()?.into(),
        };
        Ok(Output(file))
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.write_all(lines)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A formatter that panicked leaves at worst half a line behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
