//! Readiness of this thread's sockets: an epoll set of our own, where the thread has a runtime inside the runtime's.
//!
//! The runtime's registrations are made for tasks that move between threads: each event and each wait takes a lock and
//! atomic steps, a tenth of what a proxied request costs. A [`Source`] never leaves its thread, so all of it is plain
//! loads and stores. See [`turn`] for who asks the kernel, and when.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use slab::Slab;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::budget;

/// Events taken from the kernel in one call.
const BATCH: usize = 512;

/// The longest wait, in milliseconds; there is another after it.
const LONGEST: u128 = 60_000;

const READABLE: u8 = 1;
const WRITABLE: u8 = 2;
/// The peer has ended its side, or the socket has failed: reads do not wait any more.
const READ_CLOSED: u8 = 4;
/// Writes do not wait any more.
const WRITE_CLOSED: u8 = 8;

thread_local! {
    static REACTOR: Reactor = Reactor::default();
}

/// A thread's epoll set and what is in it.
#[derive(Default)]
struct Reactor {
    epoll: OnceCell<OwnedFd>,
    sources: RefCell<Slab<Rc<State>>>,
    /// Of the next source: an event of one that has gone is not taken for its successor's.
    generation: Cell<u32>,
    /// The thread's loop, or a task of its runtime, waits for the set.
    is_watched: Cell<bool>,
    /// Storage for a turn; without capacity during one.
    events: Cell<Vec<epoll::Event>>,
}

impl Reactor {
    fn epoll(&self) -> io::Result<&OwnedFd> {
        if self.epoll.get().is_none() {
            // Nothing can have come in between.
            let _ = self.epoll.set(epoll::create(CreateFlags::CLOEXEC)?);
        }
        Ok(self.epoll.get().expect("set above"))
    }

    fn add(&self, fd: BorrowedFd<'_>, ready: u8) -> io::Result<Place> {
        let set = self.epoll()?;
        self.watch(set)?;
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let state = Rc::new(State {
            generation,
            ready: Cell::new(ready),
            ..State::default()
        });
        let mut sources = self.sources.borrow_mut();
        let entry = sources.vacant_entry();
        let key = u32::try_from(entry.key()).map_err(|_| io::ErrorKind::QuotaExceeded)?;
        let data = EventData::new_u64(u64::from(generation) << 32 | u64::from(key));
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(set, fd, data, interest)?;
        entry.insert(Rc::clone(&state));
        Ok(Place { key, state })
    }

    /// Has a task of the thread's runtime wait for the set, so that it is served whatever runtime that is.
    fn watch(&self, set: &OwnedFd) -> io::Result<()> {
        if self.is_watched.get() {
            return Ok(());
        }
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        if runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
            return Err(io::Error::other("sockets need a current-thread runtime"));
        }
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types whose descriptor may change; an `OwnedFd` keeps its own"
        )]
        let set = AsyncFd::new(set.try_clone()?)?;
        self.is_watched.set(true);
        runtime.spawn(watch(set, Watched));
        Ok(())
    }

    /// Waits for events (`None`: until there is one) and wakes whom they concern. Returns whether there was one.
    fn wait(&self, at_most: Option<Duration>) -> bool {
        let Some(set) = self.epoll.get() else {
            return false;
        };
        let mut events = self.events.take();
        if events.capacity() == 0 {
            events.reserve_exact(BATCH);
        }
        let at_most = at_most.map(whole_millis);
        // An error can only be an interruption: the next turn asks again.
        let count = epoll::wait(set, spare_capacity(&mut events), at_most.as_ref()).unwrap_or(0);
        for event in events.drain(..) {
            let data = event.data.u64();
            let state = match self.sources.borrow().get(data as u32 as usize) {
                Some(state) if state.generation == (data >> 32) as u32 => Rc::clone(state),
                // It has gone during this turn.
                _ => continue,
            };
            state.on_event(event.flags);
        }
        self.events.set(events);
        count > 0
    }
}

/// The kernel waits for whole milliseconds: rather late than for nothing.
fn whole_millis(time: Duration) -> Timespec {
    let millis = time.as_nanos().div_ceil(1_000_000).min(LONGEST) as i64;
    Timespec {
        tv_sec: millis / 1_000,
        tv_nsec: millis % 1_000 * 1_000_000,
    }
}

/// Says so when the watching task is gone: the next runtime of the thread (each test has its own) starts its own.
struct Watched;

impl Drop for Watched {
    fn drop(&mut self) {
        // The thread may be ending.
        let _ = REACTOR.try_with(|reactor| reactor.is_watched.set(false));
    }
}

async fn watch(set: AsyncFd<OwnedFd>, _watched: Watched) {
    poll_fn(|cx| {
        // The runtime ends when this fails.
        while let Ok(mut guard) = ready!(set.poll_read_ready(cx)) {
            if !turn() {
                guard.clear_ready();
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// Asks the kernel, without waiting, what has become of this thread's sockets, and wakes whom that concerns. Returns
/// whether there was anything.
///
/// Where a runtime runs the thread, a task calls it when the runtime's epoll set, of which this thread's is a member, says
/// that there is something. A runtime that is to be quick calls it as well before it sleeps (`on_thread_park`): under
/// load that finds what there is without the way through that task.
pub fn turn() -> bool {
    wait(Some(Duration::ZERO))
}

/// As [`turn`], and waits until there is something, or at most so long.
pub(crate) fn wait(at_most: Option<Duration>) -> bool {
    REACTOR
        .try_with(|reactor| reactor.wait(at_most))
        .unwrap_or(false)
}

/// Says that the thread's own loop calls [`wait`]: no task of a runtime need look after the set.
pub(crate) fn set_looped(on: bool) {
    REACTOR.with(|reactor| reactor.is_watched.set(on));
}

/// What a source shares with its thread's reactor.
#[derive(Default)]
struct State {
    generation: u32,
    ready: Cell<u8>,
    reader: Waiting,
    writer: Waiting,
}

impl State {
    fn on_event(&self, flags: EventFlags) {
        let mut ready = 0;
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            ready |= READ_CLOSED | WRITE_CLOSED;
        }
        if flags.contains(EventFlags::RDHUP) {
            ready |= READ_CLOSED;
        }
        if flags.contains(EventFlags::IN) {
            ready |= READABLE;
        }
        if flags.contains(EventFlags::OUT) {
            ready |= WRITABLE;
        }
        self.ready.set(self.ready.get() | ready);
        if ready & (READABLE | READ_CLOSED) != 0 {
            self.reader.wake();
        }
        if ready & (WRITABLE | WRITE_CLOSED) != 0 {
            self.writer.wake();
        }
    }
}

/// The task that waits for one direction.
#[derive(Default)]
struct Waiting {
    is_on: Cell<bool>,
    /// Kept when it was woken: the next to wait is mostly the same, and a clone is an atomic step.
    waker: Cell<Option<Waker>>,
}

impl Waiting {
    #[inline]
    fn start(&self, cx: &Context<'_>) {
        self.is_on.set(true);
        let waker = match self.waker.take() {
            Some(old) if old.will_wake(cx.waker()) => old,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
    }

    #[inline]
    fn wake(&self) {
        if self.is_on.replace(false)
            && let Some(waker) = self.waker.take()
        {
            waker.wake_by_ref();
            // Whoever has begun to wait meanwhile stays.
            let newer = self.waker.take();
            self.waker.set(Some(newer.unwrap_or(waker)));
        }
    }
}

/// What a source is taken for until the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// Neither readable nor writable: a socket that connects, or listens.
    Nothing,
    /// Writable: a socket that has been connected for a time.
    Writable,
    /// Both: a connection that was just accepted; its peer mostly speaks first, and has.
    Both,
}

/// A socket in its thread's epoll set (edge-triggered). Dropping it closes the socket.
///
/// The set drops a socket whose last descriptor is closed. Where there are others, [`Source::leave`] comes first.
pub struct Source {
    fd: OwnedFd,
    place: Place,
}

/// A source's place in its thread's reactor.
struct Place {
    key: u32,
    state: Rc<State>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // The thread may be ending. What is removed is dropped after the borrow: it holds wakers.
        let state =
            REACTOR.try_with(|reactor| reactor.sources.borrow_mut().try_remove(self.key as usize));
        drop(state);
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.fd).finish()
    }
}

impl Source {
    /// Puts a non-blocking socket on this thread's loop.
    ///
    /// # Errors
    /// The kernel's; and outside of a current-thread runtime with I/O, where nobody would ask for events.
    pub fn new(fd: OwnedFd, guess: Guess) -> io::Result<Self> {
        let ready = match guess {
            Guess::Nothing => 0,
            Guess::Writable => WRITABLE,
            Guess::Both => READABLE | WRITABLE,
        };
        let place = REACTOR.with(|reactor| reactor.add(fd.as_fd(), ready))?;
        Ok(Self { fd, place })
    }

    #[inline]
    fn is(&self, any_of: u8) -> bool {
        self.place.state.ready.get() & any_of != 0
    }

    #[inline]
    fn clear(&self, bits: u8) {
        self.place.state.ready.update(|ready| ready & !bits);
    }

    /// Whether a read would find bytes, the end or an error, as far as is known. No syscall.
    #[inline]
    pub fn is_readable(&self) -> bool {
        self.is(READABLE | READ_CLOSED)
    }

    /// Whether a write would take bytes or fail, as far as is known. No syscall.
    #[inline]
    pub fn is_writable(&self) -> bool {
        self.is(WRITABLE | WRITE_CLOSED)
    }

    /// Whether the peer is known to have ended its side. No syscall.
    pub fn is_read_closed(&self) -> bool {
        self.is(READ_CLOSED)
    }

    /// Ready when [`Self::is_readable`]; otherwise the task is woken when it is. No syscall.
    ///
    /// Counts on the task's budget, so that one whose socket is always ready lets others run.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_readable() {
            return budget::poll_proceed(cx);
        }
        self.place.state.reader.start(cx);
        Poll::Pending
    }

    /// The same for [`Self::is_writable`].
    #[inline]
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_writable() {
            return budget::poll_proceed(cx);
        }
        self.place.state.writer.start(cx);
        Poll::Pending
    }

    /// A read has taken all there was. The end, if it came with it, is still to be read.
    #[inline]
    pub fn drained(&self) {
        self.clear(READABLE);
    }

    /// A read would have blocked.
    #[inline]
    pub fn not_readable(&self) {
        self.clear(READABLE | READ_CLOSED);
    }

    /// A write has filled the socket.
    #[inline]
    pub fn filled(&self) {
        self.clear(WRITABLE);
    }

    /// A write would have blocked.
    #[inline]
    pub fn not_writable(&self) {
        self.clear(WRITABLE | WRITE_CLOSED);
    }

    /// Takes the socket out of the set: it has other descriptors, which stay open.
    pub fn leave(&self) {
        let _ = REACTOR.try_with(|reactor| match reactor.epoll.get() {
            Some(set) => epoll::delete(set, &self.fd),
            None => Ok(()),
        });
    }

    /// The socket, on no loop.
    pub fn into_fd(self) -> OwnedFd {
        self.leave();
        self.fd
    }
}

impl AsFd for Source {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests;
