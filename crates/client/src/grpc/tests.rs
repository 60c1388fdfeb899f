use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_config::api::core::grpc_service::{EnvoyGrpc, GoogleGrpc, TargetSpecifier};
use nuncio_config::api::core::{GrpcService, HeaderValue, RetryPolicy};
use nuncio_config::api::protobuf::{self, StringValue, UInt32Value};
use nuncio_http::grpc::Code;
use nuncio_sdk::ServerContext;

use super::*;
use crate::testing::{Peer, counter, run, server};

fn service() -> GrpcService {
    GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: "peer".into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn edit(change: impl FnOnce(&mut EnvoyGrpc)) -> GrpcService {
    let mut service = service();
    if let Some(TargetSpecifier::EnvoyGrpc(target)) = &mut service.target_specifier {
        change(target);
    }
    service
}

fn client(service: &GrpcService, server: &Arc<ServerContext>) -> GrpcClient {
    GrpcClient::new(service, server).unwrap()
}

fn text(value: impl Into<String>) -> StringValue {
    StringValue {
        value: value.into(),
    }
}

async fn fails(client: &GrpcClient, method: &str) -> GrpcStatus {
    let options = GrpcCallOptions::default();
    client
        .unary::<_, StringValue>(method, &text("x"), options)
        .await
        .unwrap_err()
}

#[test]
fn unary_calls_bring_one_message() {
    run(async {
        let peer = Peer::start().await;
        let server = server(&[peer.address], true);
        let client = client(&service(), &server);
        for round in 0..3 {
            let answer: StringValue = client
                .unary("/t.T/Echo", &text(format!("{round}")), Default::default())
                .await
                .unwrap();
            assert_eq!(answer.value, format!("{round}"));
        }
        assert_eq!(counter(&server, "upstream_cx_total"), 1);
        assert_eq!(counter(&server, "upstream_rq_total"), 3);
        assert_eq!(counter(&server, "internal.upstream_rq_200"), 3);
        assert_eq!(counter(&server, "upstream_rq_tx_reset"), 0);
    });
}

#[test]
fn headers_are_those_of_envoy() {
    run(async {
        let peer = Peer::start().await;
        let server = server(&[peer.address], true);
        let mut config = service();
        config.timeout = Some(protobuf::Duration {
            seconds: 1,
            nanos: 500_000_000,
        });
        config.initial_metadata = vec![
            HeaderValue {
                key: "X-A".into(),
                value: "%PROTOCOL% v".into(),
                ..Default::default()
            },
            HeaderValue {
                key: "x-b-bin".into(),
                value: "a".into(),
                ..Default::default()
            },
        ];
        let client = client(&config, &server);
        let options = GrpcCallOptions {
            metadata: &[("x-c", "c")],
            ..Default::default()
        };
        let _: StringValue = client.unary("/t.T/Echo", &text(""), options).await.unwrap();
        let headers: Vec<String> = peer.seen.borrow().requests[0]
            .iter()
            .map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii()))
            .collect();
        assert_eq!(
            headers,
            [
                ":method: POST",
                ":path: /t.T/Echo",
                ":authority: peer",
                ":scheme: http",
                "te: trailers",
                "grpc-timeout: 1500m",
                "content-type: application/grpc",
                "x-a: %PROTOCOL% v",
                "x-b-bin: YQ==",
                "x-c: c",
                "x-envoy-internal: true",
                "x-forwarded-for: 192.0.2.9",
                "x-envoy-expected-rq-timeout-ms: 1500",
            ]
        );
    });
}

#[test]
fn envoy_headers_can_be_left_out() {
    run(async {
        let peer = Peer::start().await;
        let server = server(&[peer.address], true);
        let config = edit(|target| {
            target.skip_envoy_headers = true;
            target.authority = "other".into();
        });
        let client = client(&config, &server);
        let _: StringValue = client
            .unary("/t.T/Echo", &text(""), Default::default())
            .await
            .unwrap();
        let seen = peer.seen.borrow();
        assert_eq!(seen.requests[0].authority(), Some(&b"other"[..]));
        assert!(
            !seen.requests[0]
                .iter()
                .any(|(name, _)| name.starts_with(b"x-"))
        );
    });
}

#[test]
fn streams_carry_messages_both_ways_in_turn() {
    run(async {
        let peer = Peer::start().await;
        let server = server(&[peer.address], true);
        let client = client(&service(), &server);
        let mut stream = client.stream("/t.T/Echo", Default::default());
        for round in 0..5 {
            // Larger than a window once, so that it comes in pieces.
            let sent = "m".repeat(1 + round * 100_000);
            stream.send(&text(sent.clone()));
            let back: StringValue = stream.message().await.unwrap().unwrap();
            assert_eq!(back.value.len(), sent.len());
        }
        assert_eq!(stream.unsent(), 0);
        stream.finish();
        assert_eq!(stream.message::<StringValue>().await, Ok(None));
        let trailer = stream.trailing_metadata().get_str("x-trailer");
        assert_eq!(trailer, Some(&b"t"[..]));
        assert_eq!(stream.initial_metadata().status(), Some(200));
    });
}

#[test]
fn failures_have_a_status() {
    run(async {
        let peer = Peer::start().await;
        let server = server(&[peer.address], true);
        let client = client(&service(), &server);
        let failed = fails(&client, "/t.T/Fail").await;
        assert_eq!(failed, GrpcStatus::new(Code::NOT_FOUND, "no!"));
        assert_eq!(failed.to_string(), "NOT_FOUND: no!");
        assert_eq!(fails(&client, "/t.T/Http").await.code, Code::UNAVAILABLE);
        assert_eq!(fails(&client, "/t.T/Reset").await.code, Code::INTERNAL);
        assert_eq!(fails(&client, "/t.T/NoTrailers").await.code, Code::UNKNOWN);
        let compressed = fails(&client, "/t.T/Compressed").await;
        assert_eq!(compressed.code, Code::INTERNAL);
        assert_eq!(fails(&client, "/t.T/Flags").await.code, Code::INTERNAL);
        assert_eq!(counter(&server, "upstream_rq_503"), 1);
        assert_eq!(counter(&server, "upstream_cx_total"), 1);
    });
}

#[test]
fn a_call_ends_with_its_time() {
    run(async {
        let peer = Peer::start().await;
        let server = server(&[peer.address], true);
        let mut config = service();
        config.timeout = Some(protobuf::Duration {
            seconds: 0,
            nanos: 50_000_000,
        });
        let failed = fails(&client(&config, &server), "/t.T/Hang").await;
        assert_eq!(
            failed,
            GrpcStatus::new(Code::UNAVAILABLE, "upstream request timeout")
        );
        assert_eq!(counter(&server, "upstream_rq_timeout"), 1);
        assert_eq!(counter(&server, "upstream_rq_504"), 1);
        while peer.seen.borrow().resets.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_dropped_call_is_cancelled() {
    run(async {
        let peer = Peer::start().await;
        let server = server(&[peer.address], true);
        let client = client(&service(), &server);
        let mut stream = client.stream("/t.T/Quiet", Default::default());
        let mut message = Buffer::new();
        let event = std::future::poll_fn(|cx| stream.poll(cx, &mut message)).await;
        assert_eq!(event, GrpcEvent::Headers);
        drop(stream);
        while peer.seen.borrow().resets.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(counter(&server, "upstream_rq_tx_reset"), 1);
    });
}

#[test]
fn large_messages_are_refused() {
    run(async {
        let peer = Peer::start().await;
        let server = server(&[peer.address], true);
        let config = edit(|target| {
            target.max_receive_message_length = Some(UInt32Value { value: 10 });
        });
        let client = client(&config, &server);
        let answer: Result<StringValue, _> = client
            .unary("/t.T/Echo", &text("12345678"), Default::default())
            .await;
        assert!(answer.is_ok(), "exactly the limit");
        let answer: Result<StringValue, _> = client
            .unary("/t.T/Echo", &text("123456789"), Default::default())
            .await;
        assert_eq!(answer.unwrap_err().code, Code::RESOURCE_EXHAUSTED);
    });
}

#[test]
fn without_a_peer_calls_are_unavailable() {
    run(async {
        let closed: SocketAddr = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let server_of = |endpoints: &[SocketAddr]| server(endpoints, true);
        let failed = fails(&client(&service(), &server_of(&[closed])), "/t.T/Echo").await;
        assert_eq!(failed.code, Code::UNAVAILABLE);
        assert!(
            failed.message.ends_with("remote connection failure"),
            "{failed}"
        );
        let failed = fails(&client(&service(), &server_of(&[])), "/t.T/Echo").await;
        assert_eq!(failed.message, "no healthy upstream");
        let config = edit(|target| target.cluster_name = "absent".into());
        let failed = fails(&client(&config, &server_of(&[])), "/t.T/Echo").await;
        assert_eq!(
            failed,
            GrpcStatus::new(Code::UNAVAILABLE, "Cluster not available")
        );
    });
}

/// grpcio's server; see `crates/testing/peers/grpc_server.py`. Its messages are bytes: those of a `StringValue` here.
#[test]
fn a_real_server_is_understood() {
    if nuncio_testing::peers_are_absent() {
        return;
    }
    let peer = nuncio_testing::PythonServer::start("grpc_server.py");
    run(async move {
        let server = server(&[peer.address], true);
        let mut config = service();
        config.initial_metadata = vec![HeaderValue {
            key: "x-given".into(),
            value: "g".into(),
            ..Default::default()
        }];
        let client = client(&config, &server);
        let options = GrpcCallOptions {
            timeout: Some(Duration::from_secs(10)),
            ..Default::default()
        };
        let sent = text("m".repeat(3 << 20));
        let mut call = client.begin_unary("/peer.Peer/Unary", &sent, options);
        assert_eq!(call.message().await, Ok(Some(sent)));
        assert_eq!(call.message::<StringValue>().await, Ok(None));
        let initial = call.initial_metadata().get_str("x-initial");
        assert_eq!(initial, Some(&b"g"[..]));
        assert_eq!(call.trailing_metadata().get_all("x-final").count(), 2);

        let mut chat = client.stream("/peer.Peer/Chat", Default::default());
        for round in 0..50 {
            chat.send(&text(format!("{round}")));
            assert_eq!(chat.message().await, Ok(Some(text(format!("{round}")))));
        }
        chat.finish();
        assert_eq!(chat.message::<StringValue>().await, Ok(None));

        let failed = fails(&client, "/peer.Peer/Fail").await;
        let expected = GrpcStatus::new(Code::ALREADY_EXISTS, "there is one: 100% é\n");
        assert_eq!(failed, expected);
        let failed = fails(&client, "/peer.Peer/Nothing").await;
        assert_eq!(failed.code, Code::UNIMPLEMENTED);

        let hanging = client.begin_unary("/peer.Peer/Hang", &text(""), Default::default());
        let mut quiet = client.stream("/peer.Peer/HangStreaming", Default::default());
        let mut message = Buffer::new();
        let event = std::future::poll_fn(|cx| quiet.poll(cx, &mut message)).await;
        assert_eq!(event, GrpcEvent::Headers);
        drop((hanging, quiet));
        let mut wait = client.begin_unary("/peer.Peer/WaitCancelled", &text(""), options);
        let event = std::future::poll_fn(|cx| wait.poll(cx, &mut message)).await;
        assert_eq!(event, GrpcEvent::Headers);
        let event = std::future::poll_fn(|cx| wait.poll(cx, &mut message)).await;
        assert_eq!(
            (event, message.as_slice()),
            (GrpcEvent::Message, &b"cancelled"[..])
        );
        assert_eq!(counter(&server, "upstream_cx_total"), 1);
    });
}

#[test]
fn what_cannot_be_done_is_refused_with_its_path() {
    run(async {
        let server = server(&[], true);
        let path = |service: GrpcService| GrpcClient::new(&service, &server).unwrap_err().path;
        assert_eq!(path(GrpcService::default()), "target_specifier");
        let google = GrpcService {
            target_specifier: Some(TargetSpecifier::GoogleGrpc(GoogleGrpc::default())),
            ..Default::default()
        };
        assert_eq!(path(google), "google_grpc");
        let mut retries = service();
        retries.retry_policy = Some(RetryPolicy::default());
        assert_eq!(path(retries), "retry_policy");
        let nameless = edit(|target| target.cluster_name.clear());
        assert_eq!(path(nameless), "envoy_grpc.cluster_name");
    });
}
