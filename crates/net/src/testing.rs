//! Connected sockets, of which one end is a [`Stream`].

use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::Stream;

fn ours(stream: TcpStream) -> Stream {
    Stream::tcp(stream.into_std().unwrap()).unwrap()
}

pub(crate) async fn tcp_pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap());
    let (accepted, peer) = tokio::join!(listener.accept(), peer);
    (ours(accepted.unwrap().0), peer.unwrap())
}

pub(crate) fn unix_pair() -> (Stream, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    let ours = Stream::unix(ours.into_std().unwrap()).unwrap();
    (ours, peer)
}
