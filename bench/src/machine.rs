//! What the machine lends: cores, file descriptors, ports, a scratch folder.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Who runs where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// The proxy under test, alone.
    pub(crate) proxy: usize,
    /// Load generator, origin and this program.
    pub(crate) load: usize,
}

impl Cores {
    /// The first two cores that this process may use; this thread, and with it its children, moves to the second.
    pub(crate) fn choose() -> Result<Self> {
        let usable = sched_getaffinity(None).context("sched_getaffinity")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&core| usable.is_set(core));
        let proxy = usable.next().context("no usable core")?;
        let load = usable.next().unwrap_or_else(|| {
            eprintln!("warning: one core only, proxy and load share it");
            proxy
        });
        let mut set = CpuSet::new();
        set.set(load);
        sched_setaffinity(None, &set).context("sched_setaffinity")?;
        Ok(Self { proxy, load })
    }
}

/// Raises the soft limit of open files, which children inherit, to the hard one.
pub(crate) fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).context("RLIMIT_NOFILE")
}

/// How many files a process may open; `u64::MAX` without a limit.
pub(crate) fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// `N` different free loopback ports, chosen by the kernel and released again for a child to bind.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let held: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()
        .context("binding a loopback port")?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// A folder of this run, removed with everything in it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new folder among the system's temporary files.
    pub(crate) fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("nuncio-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about a folder that cannot be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
