//! When file descriptors run out.

use nuncio_testing::{Client, Config, Origin, until};

use crate::start_one_worker;

/// A counter or gauge over a connection that is there already: there is no descriptor for another one.
fn stat(admin: &mut Client, name: &str) -> u64 {
    let text = admin.get(&format!("/stats?filter={name}")).text();
    let numbers = text.lines().filter_map(|line| line.split_once(": "));
    numbers
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum()
}

#[test]
fn accept_pauses_without_descriptors_and_recovers() {
    let origin = Origin::answering("x");
    let mut config = Config::to(origin.address);
    config.routes =
        "{match: {path: /direct}, direct_response: {status: 200, body: {inline_string: direct}}}, "
            .into();
    let mut proxy = start_one_worker(&config);
    let mut admin = Client::connect(proxy.admin);
    let paused = "downstream_cx_accept_paused";
    assert_eq!(stat(&mut admin, paused), 0);
    // The admin connections of the start have to be gone, or their descriptors are counted here and freed later.
    until("closed admin connections", || {
        stat(&mut admin, "listener.admin.downstream_cx_active") <= 1
    });
    proxy.limit_descriptors(proxy.descriptors() as u64 + 5);

    let mut clients: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(Client::get_bytes("/direct")).unwrap();
    }
    until("a pause", || stat(&mut admin, paused) > 0);
    // Who is in is served, but there is no descriptor for an upstream connection.
    let waiting = clients.split_off(5);
    for client in &mut clients {
        assert_eq!(client.response().text(), "direct");
        assert_eq!(client.get("/direct").text(), "direct");
        assert_eq!(client.get("/origin").status(), 503);
    }
    assert_eq!(origin.connections(), 0);
    proxy.assert_alive();

    // Each that leaves lets the next one in.
    let mut inside = clients;
    for mut client in waiting {
        inside.remove(0);
        assert_eq!(client.response().text(), "direct");
        inside.push(client);
    }
    // With room again everything is as before.
    proxy.limit_descriptors(1000);
    let mut client = proxy.client();
    assert_eq!(client.get("/origin").text(), "x");
    proxy.assert_alive();
}
