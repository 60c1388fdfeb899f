use super::*;
use std::future::poll_fn;

use crate::connect::{ConnectOptions, connect};

fn loopback() -> Address {
    Address::parse_ip("127.0.0.1", 0).unwrap()
}

fn listening(address: &Address, options: &ListenOptions) -> ListenSocket {
    let socket = ListenSocket::bind(address, options).unwrap();
    socket.listen().unwrap();
    socket
}

async fn accept(listener: &Listener) -> (Stream, Address) {
    poll_fn(|cx| listener.poll_accept(cx)).await.unwrap()
}

#[tokio::test]
async fn accepts_and_names_both_ends() {
    let listener = listening(&loopback(), &ListenOptions::default())
        .into_listener()
        .unwrap();
    assert_ne!(listener.address().port(), Some(0));
    let options = ConnectOptions::default();
    let client = connect(listener.address(), &options).await.unwrap();
    let (server, peer) = accept(&listener).await;
    assert_eq!(peer, client.local_address().unwrap());
    assert_eq!(&server.local_address().unwrap(), listener.address());
    assert!(socket2::SockRef::from(&server).tcp_nodelay().unwrap());
}

#[test]
fn reuse_port_allows_one_socket_per_worker_and_nothing_else_does() {
    let options = ListenOptions::default();
    let first = listening(&loopback(), &options);
    let second = listening(first.address(), &options);
    assert_eq!(first.address(), second.address());
    let alone = ListenOptions {
        reuse_port: false,
        ..options
    };
    let error = ListenSocket::bind(first.address(), &alone).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot bind '{}': Address already in use", first.address())
    );
}

#[tokio::test]
async fn a_duplicate_keeps_the_backlog_alive() {
    let first = listening(&loopback(), &ListenOptions::default());
    let options = ConnectOptions::default();
    let client = connect(first.address(), &options).await.unwrap();
    let second = first.duplicate().unwrap();
    drop(first);
    let listener = second.into_listener().unwrap();
    let (_, peer) = accept(&listener).await;
    assert_eq!(peer, client.local_address().unwrap());
}

#[tokio::test]
async fn ipv4_compat_shows_ipv4_peers() {
    let any = Address::parse_ip("::", 0).unwrap();
    let options = ListenOptions {
        ipv4_compat: true,
        ..ListenOptions::default()
    };
    let listener = listening(&any, &options).into_listener().unwrap();
    let port = listener.address().port().unwrap();
    let to = Address::parse_ip("127.0.0.1", port).unwrap();
    let _client = connect(&to, &ConnectOptions::default()).await.unwrap();
    let (server, peer) = accept(&listener).await;
    assert!(peer.ip().unwrap().is_ipv4(), "{peer}");
    assert_eq!(server.local_address().unwrap(), to);
}

#[tokio::test]
async fn pipes_have_a_mode_and_replace_a_stale_socket_but_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let text = path.to_str().unwrap();
    let address = Address::pipe(text, 0o640).unwrap();
    let options = ListenOptions::default();
    drop(listening(&address, &options));
    assert!(path.exists(), "closing leaves the path");
    let listener = listening(&address, &options).into_listener().unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let _client = connect(&address, &ConnectOptions::default()).await.unwrap();
    let (_, peer) = accept(&listener).await;
    assert_eq!(peer.to_string(), "");

    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    let address = Address::pipe(file.to_str().unwrap(), 0).unwrap();
    let error = ListenSocket::bind(&address, &options).unwrap_err();
    assert!(
        error.to_string().ends_with("Address already in use"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn abstract_names_work_both_ways() {
    let name = format!("@nuncio-net-test-{}", std::process::id());
    let address = Address::pipe(&name, 0).unwrap();
    let listener = listening(&address, &ListenOptions::default())
        .into_listener()
        .unwrap();
    let client = connect(&address, &ConnectOptions::default()).await.unwrap();
    accept(&listener).await;
    assert_eq!(client.remote_address().unwrap().to_string(), name);
}

#[test]
fn socket_options_are_set_at_their_state() {
    let states = [
        SocketState::PreBind,
        SocketState::Bound,
        SocketState::Listening,
    ];
    let sizes = [
        (libc::SO_RCVBUF, 70_000),
        (libc::SO_SNDBUF, 80_000),
        (libc::SO_PRIORITY, 3),
    ];
    let options = ListenOptions {
        backlog: 16,
        freebind: Some(true),
        fast_open_queue: Some(8),
        keepalive: Some(Keepalive {
            probes: Some(3),
            time: Some(std::time::Duration::from_secs(60)),
            interval: None,
        }),
        options: std::iter::zip(states, sizes)
            .map(|(state, (name, value))| SocketOption::int(libc::SOL_SOCKET, name, value, state))
            .collect(),
        ..ListenOptions::default()
    };
    let socket = listening(&loopback(), &options);
    let inner = socket2::SockRef::from(&socket);
    // The kernel doubles what it is asked for.
    assert_eq!(inner.recv_buffer_size().unwrap(), 140_000);
    assert_eq!(inner.send_buffer_size().unwrap(), 160_000);
    assert_eq!(inner.priority().unwrap(), 3);
    assert!(inner.keepalive().unwrap());
    assert_eq!(inner.tcp_keepalive_retries().unwrap(), 3);
}

#[test]
fn a_refused_option_is_named() {
    let mut option = SocketOption::int(libc::SOL_SOCKET, 9_999, 1, SocketState::Bound);
    option.description = "no such thing".into();
    let options = ListenOptions {
        options: vec![option],
        ..ListenOptions::default()
    };
    let error = ListenSocket::bind(&loopback(), &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot set socket option (no such thing) on '127.0.0.1:0': Protocol not available"
    );
}
