//! Files that are replaced while the server runs: told by inotify, never polled.
//!
//! As in Envoy, a watch sees what is *moved* into place: writing a file where it stands may be seen half done, a move may not.
//! Who writes configuration writes a new file beside the old one and renames it.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr, OsString};
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// Watches directories; cheap to clone. With the last clone and the last [`Watch`] nothing is called any more.
#[derive(Clone, Debug)]
pub struct FileWatcher {
    inner: Arc<Inner>,
}

/// One watch, which ends when this is dropped.
#[must_use]
pub struct Watch {
    inner: Arc<Inner>,
    directory: i32,
    number: u64,
}

#[derive(Debug)]
struct Inner {
    fd: AsyncFd<OwnedFd>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By inotify's watch descriptor, of which a directory has one.
    directories: HashMap<i32, Vec<Entry>>,
    /// The last [`Watch::number`].
    last: u64,
}

#[derive(Clone)]
struct Entry {
    number: u64,
    /// Only this file of the directory; any without.
    name: Option<OsString>,
    call: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.name).finish()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl FileWatcher {
    /// A watcher whose callbacks run in a task of the calling thread's runtime.
    ///
    /// # Errors
    /// What the system says (`fs.inotify.max_user_instances`).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn new() -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types whose descriptor may change; an `OwnedFd` keeps its own"
        )]
        let fd = AsyncFd::new(fd)?;
        let inner = Arc::new(Inner {
            fd,
            state: Mutex::default(),
        });
        tokio::spawn(run(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Calls `call` whenever a file is moved to `path`, which need not exist yet; its directory must.
    ///
    /// # Errors
    /// What the system says: no such directory, no permission, `fs.inotify.max_user_watches`.
    pub fn watch_file(
        &self,
        path: &Path,
        call: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Watch> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        self.watch(&directory, Some(name.to_owned()), Arc::new(call))
    }

    /// Calls `call` whenever anything is moved into the directory `path`, as Kubernetes does with a link when it updates a
    /// volume.
    ///
    /// # Errors
    /// As [`Self::watch_file`].
    pub fn watch_directory(
        &self,
        path: &Path,
        call: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Watch> {
        self.watch(path, None, Arc::new(call))
    }

    fn watch(
        &self,
        directory: &Path,
        name: Option<OsString>,
        call: Arc<dyn Fn() + Send + Sync>,
    ) -> io::Result<Watch> {
        let mut state = self.inner.state();
        let directory = inotify::add_watch(&self.inner.fd, directory, WatchFlags::MOVED_TO)?;
        state.last += 1;
        let number = state.last;
        let entries = state.directories.entry(directory).or_default();
        entries.push(Entry { number, name, call });
        Ok(Watch {
            inner: self.inner.clone(),
            directory,
            number,
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        let Some(entries) = state.directories.get_mut(&self.directory) else {
            return;
        };
        let at = entries.iter().position(|entry| entry.number == self.number);
        let entry = at.map(|at| entries.swap_remove(at));
        if entries.is_empty() {
            state.directories.remove(&self.directory);
            // The directory itself may be gone, and its watch with it.
            let _ = inotify::remove_watch(&self.inner.fd, self.directory);
        }
        drop(state);
        // What the callback holds may be watches.
        drop(entry);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom the events that are there concern, each once; `None` when there are no more.
    fn read(&self) -> io::Result<Vec<Entry>> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.fd, &mut buffer);
        let mut concerned: Vec<Entry> = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(concerned),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            let name = event.file_name().map(CStr::to_bytes).map(OsStr::from_bytes);
            let state = self.state();
            let entries: Vec<&Entry> = match lost {
                // Nobody knows what has happened meanwhile.
                true => state.directories.values().flatten().collect(),
                false => (state.directories.get(&event.wd()).into_iter().flatten())
                    .filter(|entry| entry.name.is_none() || entry.name.as_deref() == name)
                    .collect(),
            };
            for entry in entries {
                if !concerned.iter().any(|known| known.number == entry.number) {
                    concerned.push(entry.clone());
                }
            }
        }
    }
}

async fn run(inner: Weak<Inner>) {
    // Upgraded only while something is done, so that the last handle ends the task.
    std::future::poll_fn(|cx| {
        let Some(inner) = inner.upgrade() else {
            return std::task::Poll::Ready(());
        };
        loop {
            let mut guard = match std::task::ready!(inner.fd.poll_read_ready(cx)) {
                Ok(guard) => guard,
                Err(error) => return ended(&error),
            };
            guard.clear_ready();
            match inner.read() {
                Ok(concerned) => concerned.iter().for_each(|entry| (entry.call)()),
                Err(error) => return ended(&error),
            }
        }
    })
    .await;
}

fn ended(error: &io::Error) -> std::task::Poll<()> {
    log::error!(target: "file", "files are not watched any more: {error}");
    std::task::Poll::Ready(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    fn count() -> (Arc<AtomicUsize>, impl Fn() + Send + Sync + 'static) {
        let count = Arc::new(AtomicUsize::new(0));
        let here = count.clone();
        (count, move || _ = here.fetch_add(1, SeqCst))
    }

    async fn until(count: &AtomicUsize, wanted: usize) {
        let reached = async {
            while count.load(SeqCst) < wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reached)
            .await
            .expect("in time");
        assert_eq!(count.load(SeqCst), wanted);
    }

    #[tokio::test]
    async fn what_is_moved_into_place_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let watcher = FileWatcher::new().unwrap();
        let (file, on_file) = count();
        let (any, on_any) = count();
        let path = folder.path().join("a");
        let watch = watcher.watch_file(&path, on_file).unwrap();
        let _any = watcher.watch_directory(folder.path(), on_any).unwrap();
        let put = |name: &str| {
            let new = folder.path().join("new");
            std::fs::write(&new, "x").unwrap();
            std::fs::rename(new, folder.path().join(name)).unwrap();
        };
        put("a");
        until(&file, 1).await;
        std::fs::write(&path, "written where it stands").unwrap();
        put("b");
        until(&any, 2).await;
        assert_eq!(file.load(SeqCst), 1);
        drop(watch);
        put("a");
        until(&any, 3).await;
        assert_eq!(file.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn a_directory_that_is_absent_is_an_error() {
        let watcher = FileWatcher::new().unwrap();
        let error = watcher.watch_file(Path::new("/nowhere/at/all"), || ());
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
