//! Signals under load: nothing that was answered is missing from the log, and the end is clean.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

use nuncio_testing::{Client, Config, Origin, Proxy, until};
use rustix::process::Signal;

use crate::start_with;

const CLIENTS: usize = 8;
/// Lines wait for a while, so that a signal finds some that are not written yet.
const ARGS: &[&str] = &["--concurrency", "2"];

/// Clients that ask without a pause until they are told to stop or the proxy is gone.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(proxy: &Proxy) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let threads = (0..CLIENTS)
            .map(|_| {
                let mut client = proxy.client();
                let (stop, answered) = (stop.clone(), answered.clone());
                thread::spawn(move || {
                    while !stop.load(SeqCst) {
                        let Ok(response) = client.try_get("/load") else {
                            return;
                        };
                        assert_eq!(response.status(), 200);
                        answered.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        Load {
            stop,
            answered,
            threads,
        }
    }

    fn wait_for(&self, more: usize) {
        let goal = self.answered.load(SeqCst) + more;
        until("answers", || self.answered.load(SeqCst) >= goal);
    }

    /// Ends it; gives how many requests were answered in full.
    fn finish(self) -> usize {
        self.stop.store(true, SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.answered.load(SeqCst)
    }
}

#[test]
fn terminated_under_load_it_ends_cleanly_with_a_complete_log() {
    let origin = Origin::answering("x");
    for signal in [Signal::TERM, Signal::INT] {
        let mut proxy = start_with(&Config::to(origin.address), ARGS);
        let load = Load::start(&proxy);
        load.wait_for(500);
        proxy.signal(signal);
        assert_eq!(proxy.wait().code(), Some(0), "{}", proxy.log());
        let answered = load.finish();
        let log = fs::read_to_string(proxy.file("access.log")).unwrap();
        assert!(log.ends_with('\n'));
        let lines = log.lines().count();
        let good = log.lines().filter(|l| *l == "GET /load 200 - via_upstream");
        assert!(
            good.count() >= answered,
            "{lines} lines for {answered} answers"
        );
        // One request of each client may have been cut.
        assert!(
            lines <= answered + CLIENTS,
            "{lines} lines for {answered} answers"
        );
        assert!(Client::try_connect(proxy.address).is_err());
    }
}

#[test]
fn reopening_under_load_loses_no_line() {
    const ROTATIONS: usize = 10;
    let origin = Origin::answering("x");
    let mut proxy = start_with(&Config::to(origin.address), ARGS);
    let load = Load::start(&proxy);
    let name = |number: usize| proxy.file(&format!("access.log.{number}"));
    for number in 0..ROTATIONS {
        load.wait_for(100);
        fs::rename(proxy.file("access.log"), name(number)).unwrap();
        proxy.signal(Signal::USR1);
        until("the new file", || proxy.file("access.log").exists());
    }
    load.wait_for(100);
    let answered = load.finish();
    proxy.wait_for_stat("http.ingress.downstream_rq_active", 0);
    let names: Vec<_> = (0..ROTATIONS).map(name).collect();
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    let mut lines = proxy.access_log();
    for name in names {
        let text = fs::read_to_string(name).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        lines.extend(text.lines().map(str::to_owned));
    }
    assert_eq!(lines.len(), answered);
    assert!(
        lines
            .iter()
            .all(|line| line == "GET /load 200 - via_upstream")
    );
}
