//! Where lines go: standard error, or a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A place for lines. Each line is written at once, so that none is missing after a crash: the application log is
/// for events, not for requests.
pub(crate) enum Sink {
    Stderr,
    File { path: PathBuf, file: Mutex<File> },
}

impl Sink {
    pub(crate) fn file(path: &Path) -> io::Result<Sink> {
        Ok(Sink::File {
            path: path.to_owned(),
            file: Mutex::new(open(path)?),
        })
    }

    /// A line that cannot be written is lost: there is no other place to tell it.
    pub(crate) fn write(&self, line: &[u8]) {
        let _ = match self {
            Sink::Stderr => io::stderr().lock().write_all(line),
            Sink::File { file, .. } => file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write_all(line),
        };
    }

    /// Opens the file anew by its name; it stays as it is when that fails.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        if let Sink::File { path, file } = self {
            let new = open(path)?;
            *file.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path)
}
