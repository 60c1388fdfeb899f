//! Pools of HTTP/2 connections, before upstreams that are scripted frame by frame and misbehave in one way each.

mod budgets;
mod endings;
mod exchanges;
mod peer;

use std::future::poll_fn;
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_config::api::cluster::Cluster;
use nuncio_config::api::core::{Http2ProtocolOptions, KeepaliveSettings};
use nuncio_event::Instant;
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_sdk::Http2Stats as H;
use nuncio_stats::{CounterSlot, GaugeSlot};

use super::{Fixture, P, http, limits, max, pending, settle, time};
use crate::breaker::Resource;
use crate::pool::{Acquire, FailureKind, Lease, PendingConnection, PooledStream, Received};
use crate::pool::{ConnectFailure, StreamReset};
use crate::stats::ClusterStats as S;
use crate::testing::{run, run_paused, until};

use peer::Peer;

/// A cluster whose upstreams speak HTTP/2.
#[expect(deprecated, reason = "the short way to set these options")]
fn h2(change: impl FnOnce(&mut Http2ProtocolOptions)) -> impl FnOnce(&mut Cluster) {
    move |cluster| change(cluster.http2_protocol_options.get_or_insert_default())
}

fn plain(_: &mut Http2ProtocolOptions) {}

fn get() -> HeaderMap {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ]
    .into_iter()
    .collect()
}

fn post() -> HeaderMap {
    let mut headers = get();
    headers.set(nuncio_http::Known::Method, b"POST");
    headers
}

impl Fixture {
    /// The first stream, and the upstream's end of the connection that was made for it.
    async fn first(&self) -> (PooledStream, Peer) {
        self.first_with(&[]).await
    }

    /// The same; the upstream has these settings.
    async fn first_with(&self, settings: &[(u16, u32)]) -> (PooledStream, Peer) {
        let waiting = pending(self.acquire());
        let peer = self.peer(settings).await;
        (stream(waiting).await.unwrap(), peer)
    }

    async fn peer(&self, settings: &[(u16, u32)]) -> Peer {
        Peer::new(self.upstream.accept().await.unwrap().0, settings).await
    }

    fn stream(&self) -> PooledStream {
        match self.acquire() {
            Acquire::Ready(Lease::Http2(stream)) => stream,
            other => panic!("{other:?}"),
        }
    }

    fn codec_counter(&self, slot: CounterSlot) -> u64 {
        let group = self.cluster.info().stats.clone();
        group.subgroup("http2", H::SCHEMA).counter(slot)
    }

    fn codec_gauge(&self, slot: GaugeSlot) -> u64 {
        let group = self.cluster.info().stats.clone();
        group.subgroup("http2", H::SCHEMA).gauge(slot)
    }
}

async fn stream(mut pending: PendingConnection) -> Result<PooledStream, ConnectFailure> {
    match poll_fn(|cx| pending.poll(cx)).await? {
        Lease::Http2(stream) => Ok(stream),
        other => panic!("{other:?}"),
    }
}

/// The next thing that the stream tells.
async fn next(stream: &mut PooledStream, message: &mut Message) -> Result<Event, StreamReset> {
    poll_fn(|cx| {
        loop {
            match stream.poll(cx, true, message) {
                Received::Nothing => return std::task::Poll::Pending,
                Received::Moved => {}
                Received::Event(event) => return std::task::Poll::Ready(Ok(event)),
                Received::Reset(reset) => return std::task::Poll::Ready(Err(reset)),
            }
        }
    })
    .await
}

/// Sends a request without a body and takes the whole response.
async fn exchange(mut stream: PooledStream) -> Result<Message, StreamReset> {
    stream.send_headers(&get(), true);
    let mut message = Message::new();
    while !next(&mut stream, &mut message).await?.is_end() {}
    stream.finish(Instant::now());
    Ok(message)
}
