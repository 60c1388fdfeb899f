//! The admin thread: started, asked to stop.

use std::io;
use std::sync::mpsc as sync_mpsc;
use std::thread::JoinHandle;

use nuncio_net::{Address, ListenSocket};
use nuncio_stats::Store;
use tokio::sync::oneshot;

use crate::config::AdminConfig;
use crate::context::AdminContext;

/// The running admin interface. Dropping it ends the thread and waits for that.
#[derive(Debug)]
pub struct AdminHandle {
    address: Address,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AdminHandle {
    /// Where it listens, with the real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Closes the listening socket and all connections, and ends the thread.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for AdminHandle {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!(target: "admin", "the admin thread has panicked");
        }
    }
}

/// Binds the address and starts the thread, named `admin`, which answers from now on.
///
/// # Errors
/// The address cannot be bound, or the thread or its runtime cannot be made.
pub fn start(config: AdminConfig, context: AdminContext) -> io::Result<AdminHandle> {
    let socket = ListenSocket::bind(&config.address, &config.listen)
        .and_then(|socket| socket.listen().map(|()| socket))
        .map_err(|error| io::Error::new(error.error.kind(), error))?;
    let address = socket.address().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, readiness) = sync_mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || {
            Store::register_thread(context.server.concurrency + 1);
            let _ = (socket, config, ready.send(Ok::<(), io::Error>(())));
            let _ = stopped.blocking_recv();
        })?;
    if let Ok(Err(error)) = readiness.recv() {
        return Err(error);
    }
    Ok(AdminHandle {
        address,
        stop: Some(stop),
        thread: Some(thread),
    })
}
