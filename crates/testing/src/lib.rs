//! For tests only: a whole proxy between clients and origins that do what a test says.
//!
//! * [`Config`]: a bootstrap with one listener, filled in by the test;
//! * [`Proxy`]: the program as a process of its own, with ports that the kernel gave;
//! * [`InProcess`]: the server's parts inside the test, for operations that no signal and no flag start;
//! * [`H2Client`]: a client that speaks HTTP/2, well or badly;
//! * [`H2Origin`]: an origin that speaks HTTP/2;
//! * [`Client`] and [`Origin`]: plain blocking sockets, so that a test says every byte and every pause;
//! * [`PythonServer`], [`run_python`]: peers by grpcio and other libraries that everybody uses;
//! * [`Fault`]: the ways in which an origin misbehaves;
//! * [`Watermark`]: how many of something there are at a time.
//!
//! Whatever waits is bounded by [`BOUND`]; what goes wrong panics, which fails the test.

mod client;
mod config;
mod dns;
mod fault;
mod http2;
mod http2_origin;
mod in_process;
mod mortal;
mod origin;
mod process;
mod python;
mod watermark;
mod wire;

use std::time::{Duration, Instant};

pub use client::Client;
pub use config::{Cluster, Config};
pub use dns::{DnsReply, DnsServer};
pub use fault::Fault;
pub use http2::{H2Client, H2Response, frame, header_block};
pub use http2_origin::{H2Origin, H2Peer, H2Request};
pub use in_process::{InProcess, Warming};
pub use mortal::Mortal;
pub use nuncio_config::api::listener::Listener;
pub use nuncio_downstream::DrainScope;
pub use nuncio_sdk::DrainStrategy;
pub use origin::{Origin, Peer, hanging_address, refused_address};
pub use process::Proxy;
pub use python::{PythonServer, peers_are_absent, run_python};
pub use watermark::Watermark;
pub use wire::{Body, Message, Wire, reset};

/// The longest that anything may take; only a failing test waits that long.
pub const BOUND: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within [`BOUND`]; `what` says what was waited for.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until what `read` tells, which grows from 0, does not grow any more: it stays the same for longer than a
/// process that has something to do is kept from it, even on a busy machine.
///
/// # Panics
/// When it goes on for longer than [`BOUND`].
#[track_caller]
pub fn until_still(what: &str, mut read: impl FnMut() -> u64) -> u64 {
    const LOOKS: u32 = 4;
    let (mut last, mut same) = (0, 0);
    until(what, || {
        std::thread::sleep(Duration::from_millis(50));
        let now = read();
        same = match now == last && now > 0 {
            true => same + 1,
            false => 0,
        };
        last = now;
        same == LOOKS
    });
    last
}
