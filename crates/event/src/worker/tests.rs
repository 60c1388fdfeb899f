use super::*;
use crate::watchdog::{Watchdog, WatchdogConfig};
use crate::{Ended, NoObserver, Slot, spawn};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// No wait of these tests comes near it.
const BOUND: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Counts {
    tasks: AtomicUsize,
    workers: AtomicUsize,
    misses: AtomicUsize,
    mega_misses: AtomicUsize,
}

impl Observer for Counts {
    fn task_panicked(&self, _: usize) {
        self.tasks.fetch_add(1, Ordering::Relaxed);
    }
    fn worker_panicked(&self, _: usize) {
        self.workers.fetch_add(1, Ordering::Relaxed);
    }
    fn watchdog_miss(&self, _: usize) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }
    fn watchdog_mega_miss(&self, _: usize) {
        self.mega_misses.fetch_add(1, Ordering::Relaxed);
    }
}

fn start(count: usize) -> Workers {
    Workers::start(count, Arc::new(NoObserver), |_| ()).unwrap()
}

/// Runs `call` on a worker and waits for its result.
fn on_worker<R: Send + 'static>(
    dispatcher: &Dispatcher,
    call: impl FnOnce(&WorkerContext) -> R + Send + 'static,
) -> R {
    let (send, receive) = sync_mpsc::channel();
    dispatcher
        .post(move |context| send.send(call(context)).unwrap())
        .unwrap();
    receive.recv_timeout(BOUND).unwrap()
}

#[test]
fn posts_run_in_order_on_named_threads() {
    let workers = start(2);
    let seen = Arc::new(Mutex::new(vec![Vec::new(); 2]));
    for i in 0..100 {
        let seen = Arc::clone(&seen);
        workers
            .dispatchers()
            .post_all(move |context| seen.lock().unwrap()[context.index()].push(i))
            .unwrap();
    }
    for dispatcher in workers.dispatchers().iter() {
        let (index, name, thread) = on_worker(dispatcher, |context| {
            let thread = std::thread::current().name().unwrap().to_owned();
            (worker_index(), context.name().to_owned(), thread)
        });
        assert_eq!(index, Some(dispatcher.worker()));
        assert_eq!(name, format!("worker_{}", dispatcher.worker()));
        assert_eq!(thread, format!("wrk:worker_{}", dispatcher.worker()));
    }
    let expected: Vec<i32> = (0..100).collect();
    assert!(seen.lock().unwrap().iter().all(|each| *each == expected));
    let dispatcher = workers.dispatchers().get(0).unwrap().clone();
    workers.stop(BOUND).unwrap();
    assert_eq!(dispatcher.post(|_| ()), Err(Ended));
    assert_eq!(worker_index(), None);
}

#[test]
fn stop_runs_what_was_posted_then_callbacks_then_drops_tasks() {
    struct Note(&'static str, Arc<Mutex<Vec<&'static str>>>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let workers = start(1);
    let log = Arc::new(Mutex::new(Vec::new()));
    let (first, last) = (Arc::clone(&log), Arc::clone(&log));
    let dispatcher = workers.dispatchers().get(0).unwrap().clone();
    dispatcher
        .post(move |context| {
            let task = Note("task dropped", Arc::clone(&first));
            spawn(async move {
                let _task = task;
                std::future::pending::<()>().await;
            });
            for text in ["registered first", "registered last"] {
                let note = Note(text, Arc::clone(&first));
                context.on_shutdown(move || drop(note));
            }
        })
        .unwrap();
    dispatcher
        .post(move |_| last.lock().unwrap().push("posted"))
        .unwrap();
    workers.stop(BOUND).unwrap();
    assert_eq!(
        *log.lock().unwrap(),
        [
            "posted",
            "registered last",
            "registered first",
            "task dropped"
        ]
    );
}

#[test]
fn a_task_that_panics_ends_alone() {
    let counts = Arc::new(Counts::default());
    let workers = Workers::start(1, Arc::clone(&counts) as _, |_| ()).unwrap();
    let dispatcher = workers.dispatchers().get(0).unwrap();
    let (send, receive) = sync_mpsc::channel::<()>();
    dispatcher
        .post(move |_| {
            let owned = send.clone();
            spawn(async move {
                let _owned = owned;
                crate::sleep(Duration::from_millis(1)).await;
                panic!("on purpose");
            });
            drop(send);
        })
        .unwrap();
    // The task's own sender goes with the task.
    assert_eq!(
        receive.recv_timeout(BOUND),
        Err(sync_mpsc::RecvTimeoutError::Disconnected)
    );
    assert_eq!(on_worker(dispatcher, |context| context.index()), 0);
    assert_eq!(counts.tasks.load(Ordering::Relaxed), 1);
    workers.stop(BOUND).unwrap();
    assert_eq!(counts.workers.load(Ordering::Relaxed), 0);
}

#[test]
fn a_worker_that_panics_is_told() {
    let counts = Arc::new(Counts::default());
    let workers = Workers::start(2, Arc::clone(&counts) as _, |_| ()).unwrap();
    let dispatcher = workers.dispatchers().get(1).unwrap();
    dispatcher.post(|_| panic!("on purpose")).unwrap();
    let error = workers.stop(BOUND).unwrap_err();
    assert_eq!((error.stuck, error.panicked), (vec![], vec![1]));
    assert_eq!(counts.workers.load(Ordering::Relaxed), 1);
}

#[test]
fn a_worker_that_panics_in_init_does_not_block_the_start() {
    let counts = Arc::new(Counts::default());
    let workers = Workers::start(2, Arc::clone(&counts) as _, |context| {
        assert!(context.index() != 0, "on purpose");
    })
    .unwrap();
    assert_eq!(workers.stop(BOUND).unwrap_err().panicked, [0]);
}

#[test]
fn stop_does_not_wait_for_a_stuck_worker() {
    let workers = start(2);
    let released = Arc::new(AtomicBool::new(false));
    let release = Arc::clone(&released);
    let stuck = move |_: &WorkerContext| {
        while !release.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    };
    workers.dispatchers().get(0).unwrap().post(stuck).unwrap();
    let error = workers.stop(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.stuck.first(), Some(&0));
    released.store(true, Ordering::Relaxed);
}

#[test]
fn slots_reach_every_worker_and_are_freed_there() {
    struct Gone(Arc<AtomicUsize>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let workers = start(2);
    let gone = Arc::new(AtomicUsize::new(0));
    // `Rc`: what is in a slot need not be `Send`.
    let slot: Slot<Rc<(usize, Gone)>> = Slot::new(workers.dispatchers());
    for round in 0..2 {
        let gone = Arc::clone(&gone);
        slot.set(move |index| Rc::new((index + 10 * round, Gone(Arc::clone(&gone)))));
    }
    for dispatcher in workers.dispatchers().iter() {
        let slot = slot.clone();
        let value = on_worker(dispatcher, move |_| slot.get().0);
        assert_eq!(value, dispatcher.worker() + 10);
    }
    assert!(slot.try_get().is_none(), "not set on this thread");
    assert_eq!(gone.load(Ordering::Relaxed), 2, "the values of round 0");
    drop(slot);
    for dispatcher in workers.dispatchers().iter() {
        on_worker(dispatcher, |_| ());
    }
    assert_eq!(gone.load(Ordering::Relaxed), 4);
    workers.stop(BOUND).unwrap();
}

#[test]
fn the_watchdog_sees_a_stalled_loop() {
    let counts = Arc::new(Counts::default());
    let workers = start(1);
    let config = WatchdogConfig {
        miss: Duration::from_millis(150),
        mega_miss: Duration::from_millis(300),
    };
    let dog = Watchdog::start(config, workers.heartbeats(), Arc::clone(&counts) as _).unwrap();
    let seen = Arc::clone(&counts);
    on_worker(workers.dispatchers().get(0).unwrap(), move |_| {
        let deadline = StdInstant::now() + BOUND;
        while seen.mega_misses.load(Ordering::Relaxed) == 0 {
            assert!(StdInstant::now() < deadline);
            std::thread::yield_now();
        }
    });
    drop(dog);
    assert_eq!(counts.mega_misses.load(Ordering::Relaxed), 1);
    assert!(counts.misses.load(Ordering::Relaxed) >= 1);
    workers.stop(BOUND).unwrap();
}

/// All that a loop waits for: timers, sockets, tasks of its own, other threads.
#[test]
fn a_loop_serves_timers_sockets_and_other_threads() {
    use crate::reactor::{Guess, Source};
    use crate::{Elapsed, sleep, timeout};
    use std::io::Write;

    let (result, results) = std::sync::mpsc::channel();
    let workers = Workers::start(1, Arc::new(NoObserver), |_| ()).unwrap();
    let worker = workers.dispatchers().get(0).unwrap();
    let (hears, mut says) = std::os::unix::net::UnixStream::pair().unwrap();
    let (ask, asked) = tokio::sync::oneshot::channel::<u32>();
    worker
        .post(move |_| {
            assert!(
                tokio::runtime::Handle::try_current().is_err(),
                "no runtime is needed"
            );
            let source = Source::new(hears.into(), Guess::Nothing).unwrap();
            spawn(async move {
                let never = std::future::pending::<()>();
                assert_eq!(timeout(Duration::from_millis(5), never).await, Err(Elapsed));
                assert_eq!(timeout(Duration::from_secs(60), asked).await, Ok(Ok(7)));
                std::future::poll_fn(|cx| source.poll_readable(cx)).await;
                sleep(Duration::from_millis(1)).await;
                tokio::task::yield_now().await;
                result.send(()).unwrap();
            });
        })
        .unwrap();
    ask.send(7).unwrap();
    says.write_all(b"x").unwrap();
    results.recv_timeout(Duration::from_secs(30)).unwrap();
    workers.stop(Duration::from_secs(30)).unwrap();
}
