use super::*;
use crate::{ListenOptions, ListenSocket};

fn loopback(port: u16) -> Address {
    Address::parse_ip("127.0.0.1", port).unwrap()
}

/// A port that was free a moment ago: bound by us, not listened on.
fn closed_port() -> ListenSocket {
    ListenSocket::bind(&loopback(0), &ListenOptions::default()).unwrap()
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let options = ConnectOptions::default();
    let closed = closed_port();
    let error = connect(closed.address(), &options).await.unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::Refused);
    let nowhere = Address::pipe("/nonexistent/socket", 0).unwrap();
    let error = connect(&nowhere, &options).await.unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::Refused);
    let internal = Address::Internal {
        listener: "x".into(),
        endpoint: "".into(),
    };
    let error = connect(&internal, &options).await.unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::Other);
}

#[tokio::test]
async fn source_address_and_options_are_used() {
    let server = closed_port();
    server.listen().unwrap();
    let options = ConnectOptions {
        source: Some(Address::parse_ip("127.0.0.7", 0).unwrap()),
        keepalive: Some(Keepalive::default()),
        options: vec![SocketOption::int(
            libc::SOL_SOCKET,
            libc::SO_PRIORITY,
            4,
            SocketState::PreBind,
        )],
        ..ConnectOptions::default()
    };
    let stream = connect(server.address(), &options).await.unwrap();
    let local = stream.local_address().unwrap().ip().unwrap();
    assert_eq!(local.ip().to_string(), "127.0.0.7");
    let socket = socket2::SockRef::from(&stream);
    assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
    assert_eq!(socket.priority().unwrap(), 4);
}

#[tokio::test]
async fn a_source_that_is_not_ours_and_a_bad_option_are_told_apart() {
    let server = closed_port();
    server.listen().unwrap();
    let options = ConnectOptions {
        source: Some(Address::parse_ip("192.0.2.1", 0).unwrap()),
        ..ConnectOptions::default()
    };
    let error = connect(server.address(), &options).await.unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::Bind);
    let options = ConnectOptions {
        options: vec![SocketOption::int(
            libc::SOL_SOCKET,
            9_999,
            1,
            SocketState::PreBind,
        )],
        ..ConnectOptions::default()
    };
    let error = connect(server.address(), &options).await.unwrap_err();
    assert_eq!(error.kind, ConnectErrorKind::Option);
}

#[test]
fn a_source_address_without_a_port_gets_one_with_its_destination() {
    let to = loopback(1);
    for (port, is_late) in [
        (0, true),
        (closed_port().address().ip().unwrap().port(), false),
    ] {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let options = ConnectOptions {
            source: Some(Address::parse_ip("127.0.0.7", port).unwrap()),
            ..ConnectOptions::default()
        };
        prepare(&socket, &to, &options).unwrap();
        let bound = socket.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(bound.port() == 0, is_late);
    }
}
