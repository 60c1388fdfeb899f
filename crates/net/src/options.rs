//! What is set on sockets.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Socket, TcpKeepalive};

use crate::sys;

/// When in a socket's life an option is set (`core.v3.SocketOption.SocketState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketState {
    /// After the socket was made, before it is bound (or connected).
    PreBind,
    /// After bind, before listen.
    Bound,
    /// After listen.
    Listening,
}

/// `core.v3.SocketOption`: any option of the system, by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SocketOption {
    /// For error messages (`description`).
    pub description: String,
    /// The protocol level, e.g. `SOL_SOCKET`.
    pub level: i32,
    /// The option's number at that level.
    pub name: i32,
    /// The value as the kernel reads it.
    pub value: Vec<u8>,
    /// When it is set.
    pub state: SocketState,
}

impl SocketOption {
    /// An option whose value is an `int`.
    pub fn int(level: i32, name: i32, value: i32, state: SocketState) -> Self {
        Self {
            description: String::new(),
            level,
            name,
            value: value.to_ne_bytes().to_vec(),
            state,
        }
    }

    /// Sets the option on an open socket.
    ///
    /// # Errors
    /// The kernel's.
    pub fn apply(&self, socket: &impl AsFd) -> io::Result<()> {
        sys::set_option(socket.as_fd(), self.level, self.name, &self.value)
    }

    /// What an error message calls it.
    pub(crate) fn title(&self) -> String {
        if self.description.is_empty() {
            format!("level {} name {}", self.level, self.name)
        } else {
            self.description.clone()
        }
    }
}

/// `core.v3.TcpKeepalive`: what is not given is left to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keepalive {
    /// Unanswered probes before the connection is dead.
    pub probes: Option<u32>,
    /// Idle time before the first probe.
    pub time: Option<Duration>,
    /// Time between two probes.
    pub interval: Option<Duration>,
}

impl Keepalive {
    /// Switches keep-alive on with these parameters.
    ///
    /// # Errors
    /// The kernel's: a value it refuses (0, or beyond its limits).
    pub fn apply(&self, socket: &Socket) -> io::Result<()> {
        let mut params = TcpKeepalive::new();
        if let Some(probes) = self.probes {
            params = params.with_retries(probes);
        }
        if let Some(time) = self.time {
            params = params.with_time(time);
        }
        if let Some(interval) = self.interval {
            params = params.with_interval(interval);
        }
        // Switches it on, too.
        socket.set_tcp_keepalive(&params)
    }
}
