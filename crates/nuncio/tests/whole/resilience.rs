//! Upstreams that die, hang and come back: what retries, health checks and outlier detection make of it.

mod beside;
mod chaos;
mod health;
mod retries;

use nuncio_testing::{Body, Client, Cluster, Message, Mortal};

/// Hosts, and a cluster of them with these fields.
fn mortals(names: &[&'static str], fields: &str) -> (Vec<Mortal>, Cluster) {
    let hosts: Vec<Mortal> = names.iter().copied().map(Mortal::new).collect();
    let addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
    let cluster = Cluster::new("origin", &addresses, fields);
    (hosts, cluster)
}

/// Sends this body and reads the whole response.
#[track_caller]
fn post(client: &mut Client, body: &str) -> Message {
    post_to(client, "/", body)
}

/// The same to another path.
#[track_caller]
fn post_to(client: &mut Client, path: &str, body: &str) -> Message {
    let length = body.len();
    client
        .send(format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .unwrap();
    client.message(Body::Response).unwrap()
}
