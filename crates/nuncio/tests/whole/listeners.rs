//! Listeners come, change and go while clients ask: no connection is refused and no request fails.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nuncio_testing::{BOUND, Client, Config, DrainStrategy, InProcess, Listener, Origin, until};

/// Longer than any test: nothing is closed by force.
const LONG: Duration = Duration::from_secs(600);
const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A listener that answers with this text by itself; `/origin` goes to the cluster, if there is one.
fn listener(server: &InProcess, base: &Config, text: &str, address: SocketAddr) -> Listener {
    let mut config = base
        .clone()
        .hcm("delayed_close_timeout: 0.1s, drain_timeout: 0.1s, ");
    config.routes = format!(
        "{{match: {{path: /direct}}, direct_response: {{status: 200, body: {{inline_string: {text}}}}}}}, "
    );
    server.listener(&config, address)
}

/// Clients of one listener that ask again and again, half of them over connections of one request.
struct Traffic {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    fn start(address: SocketAddr) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let threads = (0..4)
            .map(|number| {
                let (stop, answered, seen) = (stop.clone(), answered.clone(), seen.clone());
                thread::spawn(move || {
                    let mut client = None;
                    while !stop.load(SeqCst) {
                        let mut used = client.take().unwrap_or_else(|| Client::connect(address));
                        let response = used.get("/direct");
                        assert_eq!(response.status(), 200);
                        let text = response.text();
                        let mut seen = seen.lock().unwrap();
                        if seen.last() != Some(&text) {
                            seen.push(text);
                        }
                        drop(seen);
                        answered.fetch_add(1, SeqCst);
                        if number % 2 == 0 && !response.closes() {
                            client = Some(used);
                        }
                    }
                })
            })
            .collect();
        Traffic {
            stop,
            answered,
            seen,
            threads,
        }
    }

    /// Waits for some more answers.
    fn go_on(&self) {
        let goal = self.answered.load(SeqCst) + 50;
        until("answers", || self.answered.load(SeqCst) >= goal);
    }

    /// Waits until this text was answered.
    fn wait_for(&self, text: &str) {
        until(text, || {
            self.seen.lock().unwrap().iter().any(|seen| seen == text)
        });
    }

    fn finish(self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads {
            thread.join().expect("no client has failed");
        }
    }
}

fn wait_for_address(server: &InProcess, name: &str) -> SocketAddr {
    let mut address = None;
    until("a listener", || {
        address = server.address(name);
        address.is_some()
    });
    address.expect("waited for")
}

/// A new listener may be in force before all workers accept on it.
fn wait_until_served(address: SocketAddr) {
    until("a served connection", || {
        Client::try_connect(address)
            .and_then(|mut client| client.try_get("/direct"))
            .is_ok()
    });
}

#[test]
fn updates_in_place_fail_no_request() {
    let config = Config::default();
    let server = InProcess::start(&config, LONG, DrainStrategy::Immediate);
    assert!(server.add(listener(&server, &config, "v0", ANY_PORT)));
    let address = wait_for_address(&server, "main");
    wait_until_served(address);
    let traffic = Traffic::start(address);
    for version in 1..=20 {
        let text = format!("v{version}");
        let update = listener(&server, &config, &text, ANY_PORT);
        assert!(server.add(update.clone()));
        assert!(!server.add(update), "the same again is no update");
        traffic.wait_for(&text);
        traffic.go_on();
        assert_eq!(server.address("main"), Some(address));
    }
    traffic.finish();
    assert_eq!(
        server.stat("listener_manager.listener_in_place_updated"),
        20
    );
    assert_eq!(server.stat("listener_manager.total_listeners_active"), 1);
}

/// What differs is no filter chain: both versions share the address, and nothing between them is lost.
#[test]
fn whole_updates_at_one_address_refuse_no_connection() {
    let config = Config::default();
    let server = InProcess::start(&config, LONG, DrainStrategy::Immediate);
    server.add(listener(&server, &config, "v0", ANY_PORT));
    let address = wait_for_address(&server, "main");
    wait_until_served(address);
    let traffic = Traffic::start(address);
    for version in 1..=10 {
        let text = format!("v{version}");
        let mut update = config.clone();
        update.listener = format!("per_connection_buffer_limit_bytes: {}, ", 100_000 + version);
        assert!(server.add(listener(&server, &update, &text, ANY_PORT)));
        traffic.wait_for(&text);
        traffic.go_on();
    }
    assert_eq!(server.address("main"), Some(address));
    traffic.finish();
    assert_eq!(server.stat("listener_manager.listener_modified"), 10);
    assert_eq!(server.stat("listener_manager.listener_in_place_updated"), 0);
}

#[test]
fn a_new_address_drains_the_old_one() {
    let config = Config::default();
    let server = InProcess::start(&config, LONG, DrainStrategy::Immediate);
    server.add(listener(&server, &config, "old", ANY_PORT));
    let old = wait_for_address(&server, "main");
    wait_until_served(old);
    let mut kept = Client::connect(old);
    assert!(!kept.get("/direct").closes());

    let free = std::net::TcpListener::bind(ANY_PORT)
        .unwrap()
        .local_addr()
        .unwrap();
    server.add(listener(&server, &config, "new", free));
    until("the new address", || server.address("main") == Some(free));
    wait_until_served(free);
    assert_eq!(Client::connect(free).get("/direct").text(), "new");
    until("the old one is gone", || Client::try_connect(old).is_err());
    // Who was there is served, and told to leave.
    let last = kept.get("/direct");
    assert_eq!((&*last.text(), last.closes()), ("old", true));
    assert_eq!(kept.closed(), b"");
    assert_eq!(server.stat("listener_manager.total_listeners_draining"), 1);
}

#[test]
fn the_version_before_serves_while_the_new_one_warms() {
    let config = Config::default();
    let server = InProcess::start(&config, LONG, DrainStrategy::Immediate);
    server.add(listener(&server, &config, "old", ANY_PORT));
    let address = wait_for_address(&server, "main");
    wait_until_served(address);
    let traffic = Traffic::start(address);
    let warming = server.add_warming(listener(&server, &config, "new", ANY_PORT));
    assert_eq!(server.stat("listener_manager.total_listeners_warming"), 1);
    traffic.go_on();
    assert_eq!(*traffic.seen.lock().unwrap(), ["old"]);
    drop(warming);
    traffic.wait_for("new");
    assert_eq!(server.stat("listener_manager.total_listeners_warming"), 0);
    traffic.finish();
    // A warming listener that is removed has never been in force.
    let mut other = listener(&server, &config, "never", ANY_PORT);
    other.name = "other".into();
    let warming = server.add_warming(other);
    assert!(server.remove("other"));
    drop(warming);
    assert_eq!(server.address("other"), None);
    assert_eq!(Client::connect(address).get("/direct").text(), "new");
}

/// A removed listener refuses new connections at once, tells those that are there to leave, and lets a running request
/// end. The listener beside it notices nothing.
#[test]
fn removal_lets_running_requests_end() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |peer, _| {
        peer.request()?;
        let _ = wait.lock().unwrap().recv_timeout(BOUND);
        peer.answer("late")?;
        peer.wait_for_close()
    });
    let config = Config::to(origin.address);
    let server = InProcess::start(&config, LONG, DrainStrategy::Immediate);
    server.add(listener(&server, &config, "main", ANY_PORT));
    let main = wait_for_address(&server, "main");
    wait_until_served(main);
    let traffic = Traffic::start(main);
    let mut side = listener(&server, &config, "side", ANY_PORT);
    side.name = "side".into();
    server.add(side);
    let side = wait_for_address(&server, "side");
    wait_until_served(side);

    let mut idle = Client::connect(side);
    assert!(!idle.get("/direct").closes());
    let mut busy = Client::connect(side);
    busy.send(Client::get_bytes("/origin")).unwrap();
    until("a running request", || origin.running() == 1);
    assert!(server.remove("side"));
    until("refused connections", || Client::try_connect(side).is_err());
    go.send(()).unwrap();
    for (client, text) in [(&mut busy, "late"), (&mut idle, "side")] {
        if text == "side" {
            client.send(Client::get_bytes("/direct")).unwrap();
        }
        let response = client.response();
        assert_eq!((&*response.text(), response.closes()), (text, true));
        assert_eq!(client.closed(), b"");
    }
    assert!(!server.remove("side"));
    traffic.go_on();
    traffic.finish();
}

/// In a gradual drain the share of connections that are told to leave grows; at its end none is left.
#[test]
fn a_gradual_drain_takes_its_time_and_ends() {
    let config = Config::default();
    let drain = Duration::from_secs(1);
    let server = InProcess::start(&config, drain, DrainStrategy::Gradual);
    server.add(listener(&server, &config, "gradual", ANY_PORT));
    let address = wait_for_address(&server, "main");
    wait_until_served(address);
    let mut clients: Vec<_> = (0..40).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        assert!(!client.get("/direct").closes());
    }
    let started = std::time::Instant::now();
    assert!(server.remove("main"));
    let mut told_early = 0;
    while started.elapsed() < drain / 4 && !clients.is_empty() {
        // The last one says nothing any more: the end of the drain closes it.
        for index in (1..clients.len()).rev() {
            let Ok(response) = clients[index].try_get("/direct") else {
                panic!("closed without having been told");
            };
            if response.closes() {
                told_early += 1;
                clients.remove(index);
            }
        }
    }
    // An immediate drain would have told all of them in the first round.
    assert!(told_early > 0, "nobody was told to leave");
    assert_eq!(clients[0].closed(), b"");
    assert!(
        started.elapsed() >= drain * 9 / 10,
        "{:?}",
        started.elapsed()
    );
    until("the end of the drain", || {
        server.stat("listener_manager.total_listeners_draining") == 0
    });
}

/// Draining without removing: everybody is told to leave, nobody is refused.
#[test]
fn a_drain_of_all_listeners_goes_on_accepting() {
    let config = Config::default();
    let server = InProcess::start(&config, LONG, DrainStrategy::Immediate);
    server.add(listener(&server, &config, "draining", ANY_PORT));
    let address = wait_for_address(&server, "main");
    wait_until_served(address);
    let traffic = Traffic::start(address);
    let mut client = Client::connect(address);
    assert!(!client.get("/direct").closes());
    server.with(|manager| drop(manager.drain_listeners(nuncio_testing::DrainScope::All)));
    until("responses that close", || {
        Client::connect(address).get("/direct").closes()
    });
    assert!(client.get("/direct").closes());
    traffic.go_on();
    traffic.finish();
}
