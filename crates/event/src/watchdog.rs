//! The watchdog: notices loops that no longer turn.
//!
//! Source: `envoy.config.bootstrap.v3.Watchdog` (`miss_timeout`, `megamiss_timeout`). Killing is not
//! part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::observer::Observer;

/// How often a loop touches its heartbeat: half of the shortest time that may be asked about by
/// default, as Envoy does.
const BEAT: Duration = Duration::from_millis(100);

/// A loop's sign of life: a count that it raises whenever it turns.
#[derive(Debug, Default)]
pub struct Heartbeat {
    beats: AtomicU64,
}

impl Heartbeat {
    /// Says that the loop has turned.
    pub fn touch(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

/// Touches `heartbeat` as long as the loop it runs on turns. Run it as a task of that loop.
pub async fn beat(heartbeat: Arc<Heartbeat>) {
    loop {
        heartbeat.touch();
        crate::sleep(BEAT).await;
    }
}

/// Times after which a silent loop is reported.
#[derive(Clone, Copy, Debug)]
pub struct WatchdogConfig {
    /// `miss_timeout`, 200 ms by default.
    pub miss: Duration,
    /// `megamiss_timeout`, 1 s by default.
    pub mega_miss: Duration,
}

impl Default for WatchdogConfig {
    fn default() -> Self {
        Self {
            miss: Duration::from_millis(200),
            mega_miss: Duration::from_secs(1),
        }
    }
}

/// The watchdog's thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts watching `heartbeats`, whose position is the index that `observer` is told. A stall is
    /// told once as a miss and once as a mega miss, until the loop turns again.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start(
        config: WatchdogConfig,
        heartbeats: &[Arc<Heartbeat>],
        observer: Arc<dyn Observer>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut dogs: Vec<Dog> = heartbeats.iter().map(Dog::new).collect();
        let (stopped, step) = (Arc::clone(&stop), step(&config));
        let thread = std::thread::Builder::new()
            .name("dog:watchdog".into())
            .spawn(move || {
                // The real clock, not tokio's: a loop that hangs hangs in real time.
                let mut last = std::time::Instant::now();
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::park_timeout(step);
                    let now = std::time::Instant::now();
                    for (index, dog) in dogs.iter_mut().enumerate() {
                        dog.check(index, now - last, &config, &*observer);
                    }
                    last = now;
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has no way to panic but an observer's; that is logged by the panic hook.
            let _ = thread.join();
        }
    }
}

/// How long the watchdog sleeps between two looks.
fn step(config: &WatchdogConfig) -> Duration {
    (config.miss.min(config.mega_miss) / 2).max(Duration::from_millis(1))
}

/// What is known about one loop.
struct Dog {
    heartbeat: Arc<Heartbeat>,
    seen: u64,
    silent: Duration,
    missed: bool,
    mega_missed: bool,
}

impl Dog {
    fn new(heartbeat: &Arc<Heartbeat>) -> Self {
        Self {
            heartbeat: Arc::clone(heartbeat),
            seen: heartbeat.count(),
            silent: Duration::ZERO,
            missed: false,
            mega_missed: false,
        }
    }

    fn check(
        &mut self,
        index: usize,
        passed: Duration,
        config: &WatchdogConfig,
        observer: &dyn Observer,
    ) {
        let count = self.heartbeat.count();
        if count != self.seen {
            self.seen = count;
            self.silent = Duration::ZERO;
            self.missed = false;
            self.mega_missed = false;
            return;
        }
        self.silent += passed;
        if self.silent >= config.miss && !self.missed {
            self.missed = true;
            observer.watchdog_miss(index);
        }
        if self.silent >= config.mega_miss && !self.mega_missed {
            self.mega_missed = true;
            log::warn!(
                "worker {index} has not turned its loop for {:?}",
                self.silent
            );
            observer.watchdog_mega_miss(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Told(Mutex<Vec<&'static str>>);

    impl Observer for Told {
        fn watchdog_miss(&self, _: usize) {
            self.0.lock().unwrap().push("miss");
        }
        fn watchdog_mega_miss(&self, _: usize) {
            self.0.lock().unwrap().push("mega");
        }
    }

    #[test]
    fn each_stall_is_told_once() {
        let heartbeat = Arc::new(Heartbeat::default());
        let told = Told::default();
        let mut dog = Dog::new(&heartbeat);
        let mut pass = |millis| {
            let passed = Duration::from_millis(millis);
            dog.check(0, passed, &WatchdogConfig::default(), &told);
            told.0.lock().unwrap().clone()
        };
        assert!(pass(199).is_empty());
        assert_eq!(pass(1), ["miss"]);
        assert_eq!(pass(799), ["miss"]);
        assert_eq!(pass(1), ["miss", "mega"]);
        assert_eq!(pass(5_000), ["miss", "mega"]);
        heartbeat.touch();
        assert_eq!(pass(5_000), ["miss", "mega"]);
        assert_eq!(pass(200), ["miss", "mega", "miss"]);
    }
}
