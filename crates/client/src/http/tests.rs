use std::future::poll_fn;

use nuncio_buffer::Buffer;
use nuncio_http::{HeaderMap, Message};
use nuncio_sdk::ServerContext;
use nuncio_upstream::ClusterManager;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::testing::{Peer, counter, run, server};

fn headers(path: &str) -> HeaderMap {
    let pairs = [
        (":method", "POST"),
        (":path", path),
        (":authority", "a"),
        (":scheme", "http"),
    ];
    pairs.into_iter().collect()
}

fn start(server: &ServerContext, path: &str, end: bool) -> Result<HttpCall, CallError> {
    let clusters = server.service::<ClusterManager>().on_this_thread();
    let cluster = clusters.find("peer").unwrap();
    HttpCall::start(cluster, headers(path), end, HttpCallOptions::default())
}

/// The response's status and body.
async fn whole(call: &mut HttpCall) -> Result<(u16, Vec<u8>), CallError> {
    let mut response = Message::new();
    loop {
        let event = poll_fn(|cx| call.poll(cx, true, &mut response)).await?;
        if event.is_end() {
            return Ok((response.headers.status().unwrap(), response.data.to_vec()));
        }
    }
}

/// An origin that reads until it has seen `wants`, answers with `answer`, and ends.
async fn origin(wants: &'static str, answer: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).ends_with(wants) {
            if socket.read_buf(&mut seen).await.unwrap() == 0 {
                return;
            }
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    address
}

#[test]
fn http1_bodies_stream_both_ways() {
    run(async {
        let answer =
            "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nabc";
        let address = origin("5\r\nhello\r\n0\r\n\r\n", answer).await;
        let server = server(&[address], false);
        let mut call = start(&server, "/", false).unwrap();
        call.send_data(&mut Buffer::from("hello"), false);
        call.send_data(&mut Buffer::new(), true);
        assert_eq!(whole(&mut call).await, Ok((201, b"abc".to_vec())));
        assert_eq!(counter(&server, "external.upstream_rq_201"), 1);
    });
}

#[test]
fn an_http1_connection_is_used_again() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while socket.read_buf(&mut seen).await.unwrap() > 0 {
                if seen.ends_with(b"\r\n\r\n") {
                    seen.clear();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    socket.write_all(answer).await.unwrap();
                }
            }
        });
        let server = server(&[address], false);
        for _ in 0..3 {
            let mut call = start(&server, "/", true).unwrap();
            assert_eq!(whole(&mut call).await, Ok((200, vec![])));
        }
        assert_eq!(counter(&server, "upstream_cx_total"), 1);
        assert_eq!(counter(&server, "upstream_rq_total"), 3);
    });
}

#[test]
fn http2_works_alike() {
    run(async {
        let peer = Peer::start().await;
        let server = server(&[peer.address], true);
        let mut call = start(&server, "/plain", true).unwrap();
        assert_eq!(whole(&mut call).await, Ok((200, b"hello".to_vec())));
    });
}

#[test]
fn failures_are_told_and_counted() {
    run(async {
        let address = origin("\r\n\r\n", "").await;
        let closing = server(&[address], false);
        let mut call = start(&closing, "/", true).unwrap();
        let reset = CallError::Reset(nuncio_upstream::StreamReset::ConnectionTermination);
        assert_eq!(whole(&mut call).await, Err(reset));
        assert_eq!(counter(&closing, "upstream_rq_503"), 1);
        let address = origin("\r\n\r\n", "rubbish\r\n\r\n").await;
        let broken = server(&[address], false);
        let mut call = start(&broken, "/", true).unwrap();
        let reset = CallError::Reset(nuncio_upstream::StreamReset::ProtocolError);
        assert_eq!(whole(&mut call).await, Err(reset));
        assert_eq!(counter(&broken, "upstream_rq_502"), 1);
        let empty = server(&[], false);
        let error = start(&empty, "/", true).unwrap_err();
        assert_eq!(error, CallError::NoHealthyUpstream);
        assert_eq!(counter(&empty, "upstream_cx_none_healthy"), 1);
    });
}

#[test]
fn headers_without_a_path_are_no_request() {
    run(async {
        let address = origin("never", "").await;
        let server = server(&[address], false);
        let clusters = server.service::<ClusterManager>().on_this_thread();
        let cluster = clusters.find("peer").unwrap();
        let headers = [(":method", "GET")].into_iter().collect();
        let options = HttpCallOptions::default();
        let error = match HttpCall::start(cluster, headers, true, options) {
            Ok(mut call) => whole(&mut call).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error, CallError::NoRequest);
    });
}
