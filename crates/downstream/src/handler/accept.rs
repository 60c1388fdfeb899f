//! The accept loop of one listening socket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use nuncio_event as event;
use nuncio_net::{Address, Listener};

use super::active::ActiveListener;
use crate::stats::ListenerStats;

/// How long accepting pauses when it fails as such: the process has no descriptors or memory left.
/// Connections wait in the backlog meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that is accepted from.
pub(super) struct Acceptor {
    /// Taken out to close the socket at once, before the task has noticed.
    listener: Rc<RefCell<Option<Listener>>>,
    task: event::Task,
}

impl Acceptor {
    pub(super) fn stop(self) {
        self.listener.take();
        self.task.abort();
    }
}

/// Accepts from `listener` for `active`, until stopped.
pub(super) fn start(active: &Rc<ActiveListener>, listener: Listener) {
    let transparent = active.version().shared.spec.proto.transparent;
    let many = listener.address().is_any() || transparent.is_some_and(|on| on.value);
    let local = (!many).then(|| Rc::new(listener.address().clone()));
    let listener = Rc::new(RefCell::new(Some(listener)));
    let task = event::spawn(run(Rc::clone(active), Rc::clone(&listener), local));
    active.keep(Acceptor { listener, task });
}

async fn run(
    active: Rc<ActiveListener>,
    listener: Rc<RefCell<Option<Listener>>>,
    local: Option<Rc<Address>>,
) {
    let mut paused = false;
    loop {
        let turn = poll_fn(|cx| match &*listener.borrow() {
            Some(listener) => accept_some(&active, listener, local.as_ref(), cx, &mut paused),
            None => Poll::Ready(Turn::Stopped),
        });
        match turn.await {
            Turn::More => tokio::task::yield_now().await,
            Turn::Exhausted => event::sleep(PAUSE).await,
            Turn::Stopped => return,
        }
    }
}

/// How a turn of the accept loop ended.
enum Turn {
    /// As many were taken as one turn may take.
    More,
    /// The process cannot take any.
    Exhausted,
    Stopped,
}

fn accept_some(
    active: &Rc<ActiveListener>,
    listener: &Listener,
    local: Option<&Rc<Address>>,
    cx: &mut Context<'_>,
    paused: &mut bool,
) -> Poll<Turn> {
    let at = listener.address();
    let max = active.version().shared.spec.max_accepts;
    let mut taken = 0;
    let turn = loop {
        match listener.poll_accept(cx) {
            Poll::Ready(Ok((stream, peer))) => {
                *paused = false;
                taken += 1;
                active.accept(stream, peer, local);
                if taken == max {
                    break Poll::Ready(Turn::More);
                }
            }
            // It concerns one connection, which has gone before it was taken.
            Poll::Ready(Err(error)) if is_of_one_connection(&error) => {
                log::debug!("listener {at} lost a connection: {error}");
            }
            Poll::Ready(Err(error)) => {
                active.stats.inc(ListenerStats::DOWNSTREAM_CX_ACCEPT_PAUSED);
                if !*paused {
                    *paused = true;
                    log::warn!("listener {at} cannot accept and pauses: {error}");
                }
                break Poll::Ready(Turn::Exhausted);
            }
            Poll::Pending => break Poll::Pending,
        }
    };
    if taken > 0 {
        active.stats.record(
            ListenerStats::CONNECTIONS_ACCEPTED_PER_SOCKET_EVENT,
            taken.into(),
        );
    }
    turn
}

/// The errors of accept(2) after which the next connection may be taken at once. After others (no
/// descriptors, no memory) only waiting helps.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPERM
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT
        )
    )
}
