use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_stats::{Group, Store};
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn_local};

use super::{Active, OutOfBand, Session, Target};
use crate::health::HttpCounters;
use crate::orca::{OrcaError, OrcaReport};
use crate::stats::{ClusterStats, OutOfBandStats as S};
use crate::testing::{host, run, until};

const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Fields as literals of HPACK.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn head(extra: u8, of: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | extra, 1, &fields(of))
}

fn good_head() -> Vec<u8> {
    head(
        0,
        &[(":status", "200"), ("content-type", "application/grpc")],
    )
}

fn message(flags: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![flags];
    message.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    message.extend_from_slice(bytes);
    message
}

fn data(message: &[u8]) -> Vec<u8> {
    frame(0, 0, 1, message)
}

fn report(rate: f64) -> OrcaReport {
    OrcaReport {
        rps_fractional: rate,
        eps: 1.0,
        ..OrcaReport::default()
    }
}

fn reported(rate: f64) -> Vec<u8> {
    data(&message(0, &report(rate).encode_to_vec()))
}

fn trailers(status: &str) -> Vec<u8> {
    head(END_STREAM, &[("grpc-status", status)])
}

/// A host that is called.
struct Peer {
    listener: TcpListener,
}

impl Peer {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    /// Answers the next call with these frames; returns what was asked, and the connection.
    async fn answer(&self, frames: &[Vec<u8>]) -> (Vec<u8>, TcpStream) {
        let (mut socket, _) = self.listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.windows(REQUEST.len()).any(|it| it == REQUEST) {
            assert_ne!(socket.read_buf(&mut asked).await.unwrap(), 0);
        }
        socket.write_all(&frame(4, 0, 0, &[])).await.unwrap();
        // The session may have heard enough before the last one.
        let _ = socket.write_all(&frames.concat()).await;
        (asked, socket)
    }
}

/// Three of these without a report are too long: time enough on a busy machine.
const PERIOD: Duration = Duration::from_millis(200);
/// It, as `report_interval`.
const REQUEST: &[u8] = b"\x0a\x05\x10\x80\x84\xaf\x5f";

struct Calling {
    stats: Arc<Group>,
    reports: Rc<RefCell<Vec<f64>>>,
    task: JoinHandle<()>,
}

impl Calling {
    /// Calls `peer`; a report without a rate is not taken.
    fn start(peer: &Peer) -> Self {
        let port = peer.listener.local_addr().unwrap().port();
        let settings = OutOfBand {
            period: PERIOD,
            port: None,
            authority: None,
        };
        let host = host(port, 1, crate::host::HealthFlags::NONE);
        let store = Store::new(1);
        let cluster = store.group("cluster.c", ClusterStats::SCHEMA);
        let stats = store.group("cluster.c.lb_orca_oob", S::SCHEMA);
        let session = Session {
            target: Target::new(&host, &settings, &"c".into(), Arc::default()),
            period: settings.period,
            turns: crate::health::turns(),
            active: Active::new(&stats),
            counters: HttpCounters::new(cluster.clone()),
        };
        let reports: Rc<RefCell<Vec<f64>>> = Rc::default();
        let taken = reports.clone();
        let task = spawn_local(session.run(move |report| {
            if report.rps_fractional == 0.0 {
                return Err(OrcaError::Rate);
            }
            taken.borrow_mut().push(report.rps_fractional);
            Ok(())
        }));
        Self {
            stats,
            reports,
            task,
        }
    }

    fn counted(&self) -> [u64; 4] {
        [
            S::REPORTS_RECEIVED,
            S::REPORT_ERRORS,
            S::STREAM_FAILURES,
            S::STREAM_TERMINATED,
        ]
        .map(|counter| self.stats.counter(counter))
    }
}

#[test]
fn reports_are_taken_as_they_come() {
    run(async {
        let peer = Peer::new().await;
        let calling = Calling::start(&peer);
        let split = reported(3.0);
        let frames = [
            good_head(),
            reported(1.0),
            // An empty message says nothing; one without a rate is of no use.
            data(&message(0, b"")),
            reported(0.0),
            reported(f64::NAN),
            data(
                &[
                    message(0, &report(2.0).encode_to_vec()),
                    split[9..15].to_vec(),
                ]
                .concat(),
            ),
            data(&split[15..]),
        ];
        let (asked, _socket) = peer.answer(&frames).await;
        until(|| calling.reports.borrow().len() == 3).await;
        assert_eq!(*calling.reports.borrow(), [1.0, 2.0, 3.0]);
        assert_eq!(calling.counted(), [5, 2, 0, 0]);
        assert_eq!(calling.stats.gauge(S::ACTIVE_SESSIONS), 1);
        assert!(asked.starts_with(b"PRI * HTTP/2.0"));
        calling.task.abort();
        until(|| calling.stats.gauge(S::ACTIVE_SESSIONS) == 0).await;
    });
}

#[test]
fn a_host_that_does_not_know_the_method_is_left_alone() {
    for answer in [
        vec![good_head(), trailers("12")],
        vec![head(
            END_STREAM,
            &[(":status", "200"), ("grpc-status", "12")],
        )],
        vec![head(END_STREAM, &[(":status", "404")])],
        vec![head(0, &[(":status", "404")])],
    ] {
        run(async {
            let peer = Peer::new().await;
            let calling = Calling::start(&peer);
            let (_, _socket) = peer.answer(&answer).await;
            until(|| calling.task.is_finished()).await;
            assert_eq!(calling.counted(), [0, 0, 0, 1]);
            assert_eq!(calling.stats.gauge(S::ACTIVE_SESSIONS), 0);
        });
    }
}

#[test]
fn whatever_else_ends_a_call_another_one_follows() {
    let goaway = |code: u32| {
        let payload = [1u32.to_be_bytes(), code.to_be_bytes()].concat();
        frame(7, 0, 0, &payload)
    };
    let cases = [
        (vec![good_head(), reported(1.0), trailers("14")], 1),
        (vec![good_head(), reported(1.0), trailers("0")], 1),
        (vec![good_head(), trailers("x")], 0),
        (
            vec![head(
                END_STREAM,
                &[(":status", "200"), ("content-type", "text/plain")],
            )],
            0,
        ),
        (vec![head(0, &[(":status", "503")])], 0),
        // An answer that ends with data, a compressed message, a malformed one, one that is too long.
        (vec![good_head(), frame(0, END_STREAM, 1, b"")], 0),
        (vec![good_head(), data(&message(1, b""))], 0),
        (vec![good_head(), data(&message(0, b"\xff\xff"))], 0),
        (vec![good_head(), data(b"\0\0\x01\0\x01")], 0),
        // A reset stream; an error; the end of the connection with the next report.
        (vec![good_head(), frame(3, 0, 1, &[0; 4])], 0),
        (vec![goaway(2)], 0),
        (vec![good_head(), goaway(0), reported(1.0)], 1),
        // Silence.
        (vec![good_head(), reported(1.0)], 1),
        (vec![], 0),
    ];
    run(async {
        let calls = cases.map(|(answer, received)| {
            spawn_local(async move {
                let peer = Peer::new().await;
                let calling = Calling::start(&peer);
                let (_, _socket) = peer.answer(&answer).await;
                let (_, _again) = peer.answer(&[]).await;
                assert_eq!(calling.counted(), [received, 0, 1, 0], "{answer:02x?}");
            })
        });
        for call in calls {
            call.await.unwrap();
        }
    });
}

#[test]
fn a_host_is_called_by_the_name_that_it_has() {
    let settings = |port, authority: Option<&str>| OutOfBand {
        period: Duration::from_secs(1),
        port,
        authority: authority.map(Into::into),
    };
    let host = host(80, 1, crate::host::HealthFlags::NONE);
    let target = |settings: &OutOfBand| {
        let target = Target::new(&host, settings, &"c".into(), Arc::default());
        (target.address.to_string(), target.authority.to_string())
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        target(&settings(None, None)),
        pair("127.0.0.1:80", "127.0.0.1:80")
    );
    assert_eq!(
        target(&settings(Some(90), None)),
        pair("127.0.0.1:90", "127.0.0.1:90")
    );
    assert_eq!(
        target(&settings(Some(90), Some("x"))),
        pair("127.0.0.1:90", "x")
    );
}
