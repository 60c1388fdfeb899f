//! The whole proxy between clients and origins that do not behave: what it must survive, bound and count.

mod aggregate;
mod balancing;
mod breakers;
mod clients;
mod descriptors;
mod dns;
mod flow;
mod forward_proxy;
mod grpc;
mod hostile;
mod http2;
mod http2_upstreams;
mod limits;
mod listeners;
mod mirrors;
mod original_dst;
mod resilience;
mod signals;
mod splice;
mod upstreams;

use nuncio_testing::{Config, Proxy};

/// Starts the program with two workers and logs that are written at once.
fn start(config: &Config) -> Proxy {
    start_with(
        config,
        &["--concurrency", "2", "--file-flush-interval-msec", "5"],
    )
}

/// Starts the program with one worker, where a test is about one pool or one loop.
fn start_one_worker(config: &Config) -> Proxy {
    start_with(
        config,
        &["--concurrency", "1", "--file-flush-interval-msec", "5"],
    )
}

/// Starts the program with these arguments.
fn start_with(config: &Config, args: &[&str]) -> Proxy {
    Proxy::start(env!("CARGO_BIN_EXE_nuncio"), config, args)
}
