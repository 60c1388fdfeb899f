//! Bytes that go from socket to socket without a copy through this process (`splice(2)`).
//!
//! A [`Pipe`] is what the kernel wants in between: it holds references to the pages in which the bytes arrived. A thread keeps
//! a few for the next use and never has more than [`MOST`]; who gets none copies, as does everybody where the kernel (or
//! a sandbox) does not allow the call.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use nuncio_buffer::Buffer;
use rustix::io::Errno;
use rustix::pipe::{self, PipeFlags, SpliceFlags};

use crate::stream::Stream;

/// What a pipe is to hold, in bytes: much less makes more wake-ups per GiB, more gains nothing.
const CAPACITY: usize = 256 * 1024;
/// A smaller pipe is not worth its calls: the kernel gives such to a user who has many.
const LEAST_CAPACITY: usize = 64 * 1024;
/// Pipes of a thread. Each is two file descriptors, and up to its capacity of kernel memory while a peer does not read.
const MOST: usize = 64;
/// Empty pipes a thread keeps.
const SPARE: usize = 4;
/// After a pipe could not be made, so many are not asked for.
const PAUSE: u32 = 1_000;

/// A pipe of this thread's pool. An empty one goes back when it is dropped.
#[derive(Debug)]
pub struct Pipe {
    /// Taken by `drop`.
    ends: Option<Ends>,
    len: usize,
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Pool {
    spare: Vec<Ends>,
    in_use: usize,
    /// Requests for a pipe to answer with none.
    pause: u32,
    /// The kernel does not splice between sockets.
    refused: bool,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

impl Pool {
    fn take(&mut self) -> Option<Ends> {
        if self.refused || self.in_use >= MOST {
            return None;
        }
        let ends = match self.spare.pop() {
            Some(ends) => ends,
            None if self.pause > 0 => {
                self.pause -= 1;
                return None;
            }
            None => match Ends::new() {
                Ok(ends) => ends,
                Err(error) => {
                    log::debug!("no pipe to splice through: {error}");
                    self.pause = PAUSE;
                    return None;
                }
            },
        };
        self.in_use += 1;
        Some(ends)
    }
}

impl Ends {
    fn new() -> io::Result<Self> {
        let (read, write) = pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let capacity = pipe::fcntl_setpipe_size(&write, CAPACITY)
            .or_else(|_| pipe::fcntl_getpipe_size(&write))?;
        if capacity < LEAST_CAPACITY {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Self {
            read,
            write,
            capacity,
        })
    }
}

impl Pipe {
    /// An empty pipe; `None` when this thread has its share of them, or cannot have one.
    pub fn take() -> Option<Self> {
        // The thread may be ending (its pool is gone).
        let ends = POOL.try_with(|pool| pool.borrow_mut().take()).ok()??;
        Some(Self {
            ends: Some(ends),
            len: 0,
        })
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts bytes of ours behind what it holds, and consumes them: all (up to 4,096) or, where there is no room, none.
    /// Returns whether there was room.
    ///
    /// # Errors
    /// The kernel's; none is expected.
    pub fn write(&mut self, bytes: &mut Buffer) -> io::Result<bool> {
        let count = unless_full(rustix::io::write(&self.ends().write, bytes))?;
        bytes.consume(count);
        self.len += count;
        Ok(bytes.is_empty())
    }

    /// Puts at most `max` bytes of another pipe behind what it holds. Returns how many; 0 where there is no room.
    ///
    /// # Errors
    /// The kernel's; none is expected.
    pub fn append(&mut self, from: &mut Pipe, max: usize) -> io::Result<usize> {
        let max = max.min(from.len);
        if max == 0 {
            return Ok(0);
        }
        let (from_end, to_end) = (&from.ends().read, &self.ends().write);
        let moved = pipe::splice(from_end, None, to_end, None, max, SpliceFlags::NONBLOCK);
        let count = unless_full(moved)?;
        from.len -= count;
        self.len += count;
        Ok(count)
    }

    fn ends(&self) -> &Ends {
        self.ends.as_ref().expect("taken only by drop")
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let ends = self.ends.take();
        let is_empty = self.is_empty();
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            pool.in_use -= 1;
            if is_empty && pool.spare.len() < SPARE {
                pool.spare.extend(ends);
            }
        });
    }
}

impl Stream {
    /// Moves at most `max` received bytes into `pipe`, which must be empty; `Ok(0)` is the peer's end of stream.
    ///
    /// # Errors
    /// The kernel's, mostly a reset by the peer. [`io::ErrorKind::Unsupported`]: it does not splice here, nothing was
    /// moved, and this thread gets no pipe any more.
    pub fn poll_splice_in(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        // In a pipe that is not empty, "would block" could mean that it is full: the loop would forget that the socket
        // is readable.
        debug_assert!(pipe.is_empty());
        let ends = pipe.ends();
        let max = max.min(ends.capacity);
        loop {
            ready!(self.source.poll_readable(cx));
            match splice(&self.source, &ends.write, max, SpliceFlags::NONBLOCK) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.not_readable();
                }
                Err(error) if is_refusal(&error) => {
                    let _ = POOL.try_with(|pool| pool.borrow_mut().refused = true);
                    log::debug!("splice: {error}");
                    return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                }
                result => {
                    if let Ok(moved) = result {
                        pipe.len = moved;
                    }
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Sends what `pipe` holds; with `more` the kernel may wait for what is sent next. Returns how much the socket took; an empty
    /// pipe is sent at once, as 0 bytes.
    ///
    /// # Errors
    /// The kernel's, mostly a reset by the peer.
    pub fn poll_splice_out(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        more: bool,
    ) -> Poll<io::Result<usize>> {
        if pipe.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // Not more than there is: the kernel would wait a moment for what follows, as with `more`.
        let (ends, len) = (pipe.ends(), pipe.len);
        let flags = match more {
            true => SpliceFlags::NONBLOCK | SpliceFlags::MORE,
            false => SpliceFlags::NONBLOCK,
        };
        loop {
            ready!(self.source.poll_writable(cx));
            match splice(&ends.read, &self.source, len, flags) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.source.not_writable();
                }
                result => {
                    if let Ok(moved) = result {
                        pipe.len -= moved;
                    }
                    return Poll::Ready(result);
                }
            }
        }
    }
}

fn splice(from: &impl AsFd, to: &impl AsFd, max: usize, flags: SpliceFlags) -> io::Result<usize> {
    Ok(pipe::splice(from, None, to, None, max, flags)?)
}

fn unless_full(moved: rustix::io::Result<usize>) -> io::Result<usize> {
    match moved {
        Err(Errno::AGAIN) => Ok(0),
        other => Ok(other?),
    }
}

/// Whether the kernel, or what filters its calls, does not splice this at all.
fn is_refusal(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::PERM, Errno::NOSYS, Errno::OPNOTSUPP]
        .iter()
        .any(|refusal| error.raw_os_error() == Some(refusal.raw_os_error()))
}

#[cfg(test)]
mod tests;
