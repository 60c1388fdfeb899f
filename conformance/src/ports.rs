//! Ports of one run of a case: `{{listener}}`, `{{admin}}`, `{{origin}}` and so on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

/// Names whose port the proxy itself binds.
const PROXY: [&str; 4] = ["admin", "listener", "listener2", "listener3"];
/// Names at which a recording origin listens.
const ORIGINS: [&str; 3] = ["origin", "origin2", "origin3"];

/// All ports of a case, and the sockets that give some of them their meaning.
pub(crate) struct Ports {
    numbers: BTreeMap<&'static str, u16>,
    /// Listening sockets of the origins, until the origins take them.
    pub(crate) origins: Vec<(&'static str, TcpListener)>,
    /// `{{dns}}`, until the DNS server takes it.
    pub(crate) dns: Option<UdpSocket>,
    /// `{{refused}}`: bound but not listening. `{{blackhole}}`: listening with a full backlog, never accepting.
    _held: Vec<Socket>,
}

impl Ports {
    /// Chooses free ports by binding port 0.
    pub(crate) fn allocate() -> Result<Self> {
        let mut numbers = BTreeMap::new();
        // Bound all together, so that no two names get the same port; the proxy's are released at the end.
        let mut for_proxy = Vec::new();
        for name in PROXY {
            let listener = never_given_before()?;
            numbers.insert(name, listener.local_addr()?.port());
            for_proxy.push(listener);
        }
        let mut origins = Vec::new();
        for name in ORIGINS {
            let listener = loopback()?;
            numbers.insert(name, listener.local_addr()?.port());
            origins.push((name, listener));
        }
        let dns = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("binding a UDP port")?;
        numbers.insert("dns", dns.local_addr()?.port());
        let refused = bound()?;
        numbers.insert("refused", port_of(&refused)?);
        let mut held = vec![refused];
        held.extend(blackhole(&mut numbers)?);
        Ok(Self {
            numbers,
            origins,
            dns: Some(dns),
            _held: held,
        })
    }

    /// The port called `name`.
    pub(crate) fn get(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    /// All names with their ports.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u16)> + '_ {
        self.numbers.iter().map(|(name, port)| (*name, *port))
    }
}

fn loopback() -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding a loopback port")
}

/// A port that no case of this run has got: two proxies that share a port (`SO_REUSEPORT`) get each other's connections.
fn never_given_before() -> Result<TcpListener> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    // Held until one is found: the system does not give it twice.
    let mut known = Vec::new();
    loop {
        let listener = loopback()?;
        let port = listener.local_addr()?.port();
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if given.insert(port) {
            return Ok(listener);
        }
        known.push(listener);
    }
}

fn bound() -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    Ok(socket)
}

fn port_of(socket: &Socket) -> Result<u16> {
    Ok(socket
        .local_addr()?
        .as_socket()
        .context("an internet address")?
        .port())
}

/// A listening socket whose accept queue is full: the kernel drops further SYNs, so connecting to it hangs.
fn blackhole(numbers: &mut BTreeMap<&'static str, u16>) -> Result<Vec<Socket>> {
    let listening = bound()?;
    listening.listen(0)?;
    let address = listening.local_addr()?;
    numbers.insert("blackhole", port_of(&listening)?);
    let mut sockets = vec![listening];
    for _ in 0..2 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        filler.set_nonblocking(true)?;
        // EINPROGRESS is the expected answer.
        let _ = filler.connect(&address);
        sockets.push(filler);
    }
    Ok(sockets)
}
