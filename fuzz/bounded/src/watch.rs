//! Notices an input that takes for ever, and keeps inputs that fail.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

/// No input of a few kilobytes may take this long, even without optimisation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The input that is running, and since when.
type Running = Option<(Instant, Vec<u8>)>;

/// Watches the inputs of one target.
pub(crate) struct Watch {
    folder: PathBuf,
    running: Arc<Mutex<Running>>,
}

impl Watch {
    /// Begins to watch; what fails is kept in `folder`.
    pub(crate) fn start(folder: PathBuf) -> Watch {
        let running = Arc::new(Mutex::new(None));
        let watched = running.clone();
        let watch = Watch {
            folder: folder.clone(),
            running,
        };
        thread::spawn(move || {
            let watch = Watch {
                folder,
                running: watched,
            };
            loop {
                thread::sleep(PATIENCE / 10);
                watch.check();
            }
        });
        watch
    }

    /// This input runs now.
    pub(crate) fn begin(&self, input: &[u8]) {
        *self.lock() = Some((Instant::now(), input.to_vec()));
    }

    /// It is done.
    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    /// Writes an input that failed to a file of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep(&self, input: &[u8]) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let file = self.folder.join(format!("bounded-{}", process::id()));
        fs::write(&file, input)?;
        Ok(file)
    }

    fn check(&self) {
        let running = self.lock();
        let Some((since, input)) = running.as_ref() else {
            return;
        };
        if since.elapsed() < PATIENCE {
            return;
        }
        match self.keep(input) {
            Ok(kept) => eprintln!(
                "this input takes more than {PATIENCE:?}: {}",
                kept.display()
            ),
            Err(error) => {
                eprintln!("an input takes more than {PATIENCE:?}, and cannot be kept: {error}")
            }
        }
        process::exit(1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
