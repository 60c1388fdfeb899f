use super::*;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use tokio::runtime::{Builder, LocalOptions};
use tokio::task::LocalSet;

const MS: Duration = Duration::from_millis(1);

fn later(millis: u32) -> Instant {
    Instant::now() + MS * millis
}

async fn expired(timer: &mut Timer) {
    poll_fn(|cx| timer.poll_expired(cx)).await;
}

fn is_expired(timer: &mut Timer) -> bool {
    timer
        .poll_expired(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

/// Counts wake-ups, to tell lazy timers from busy ones.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn expires_at_its_deadline_and_not_before() {
    let start = Instant::now();
    let mut timer = Timer::new();
    timer.set_timeout(Some(MS * 50));
    expired(&mut timer).await;
    let took = start.elapsed();
    assert!(took >= MS * 50 && took <= MS * 51, "{took:?}");
    assert!(is_expired(&mut timer), "stays expired until it is moved");
    timer.set_deadline(Some(later(10)));
    assert!(!is_expired(&mut timer));
    expired(&mut timer).await;
    assert!(start.elapsed() >= MS * 60);
}

#[tokio::test(start_paused = true)]
async fn never_early_for_deadlines_between_ticks() {
    for nanos in [1, 999, 500_000, 999_999, 1_000_001] {
        let deadline = Instant::now() + Duration::from_nanos(nanos);
        sleep_until(deadline).await;
        let now = Instant::now();
        assert!(now >= deadline && now <= deadline + MS, "{nanos}");
    }
}

#[tokio::test(start_paused = true)]
async fn moving_later_wakes_nobody_at_the_old_time() {
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut timer = Timer::at(later(10));
    let mut cx = Context::from_waker(&waker);
    assert!(timer.poll_expired(&mut cx).is_pending());
    for _ in 0..100 {
        timer.set_deadline(Some(later(10)));
        tokio::time::sleep(MS * 5).await;
    }
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    tokio::time::sleep(MS * 10).await;
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(timer.poll_expired(&mut cx).is_ready());
}

#[tokio::test(start_paused = true)]
async fn moving_earlier_is_seen_by_the_driver() {
    let start = Instant::now();
    let mut timer = Timer::at(later(60_000));
    assert!(!is_expired(&mut timer));
    tokio::task::yield_now().await;
    timer.set_deadline(Some(later(5)));
    expired(&mut timer).await;
    assert!(start.elapsed() <= MS * 6);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_set_after_the_poll_is_armed() {
    let mut timer = Timer::new();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    assert!(
        timer
            .poll_expired(&mut Context::from_waker(&waker))
            .is_pending()
    );
    timer.set_deadline(Some(later(5)));
    tokio::time::sleep(MS * 10).await;
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_taken_away_and_given_again() {
    let mut timer = Timer::at(later(5));
    assert!(!is_expired(&mut timer));
    timer.set_deadline(None);
    tokio::time::sleep(MS * 20).await;
    assert!(!is_expired(&mut timer));
    timer.set_deadline(Some(later(5)));
    let start = Instant::now();
    expired(&mut timer).await;
    assert!(start.elapsed() >= MS * 5);
    timer.set_deadline(Some(start));
    let again = Instant::now();
    expired(&mut timer).await;
    assert_eq!(again.elapsed(), Duration::ZERO, "the past is due at once");
    assert!(is_expired(&mut Timer::at(start)));
    timer.set_timeout(Some(Duration::MAX));
    assert_eq!(timer.deadline(), None, "beyond the clock is never");
}

#[tokio::test(start_paused = true)]
async fn many_timers_fire_in_order_and_dropped_ones_do_not() {
    let set = LocalSet::new();
    let fired = Rc::new(RefCell::new(Vec::new()));
    set.run_until(async {
        let mut tasks = Vec::new();
        for i in 0..500_u32 {
            let fired = Rc::clone(&fired);
            let delay = (i * 7919) % 500 + 1;
            tasks.push(tokio::task::spawn_local(async move {
                let nested = sleep(MS * (delay / 2 + 1));
                drop(nested);
                sleep(MS * delay).await;
                fired.borrow_mut().push(delay);
            }));
        }
        let dropped = sleep(MS * 3);
        let mut timer = Timer::at(later(100));
        assert!(!is_expired(&mut timer));
        drop((dropped, timer));
        for task in tasks {
            task.await.unwrap();
        }
    })
    .await;
    let fired = fired.borrow();
    assert_eq!(fired.len(), 500);
    assert!(fired.is_sorted(), "{fired:?}");
}

/// A wake-up that drops other timers must find the heap free.
#[tokio::test(start_paused = true)]
async fn a_task_that_ends_on_its_timer_may_own_others() {
    let set = LocalSet::new();
    set.run_until(async {
        let task = tokio::task::spawn_local(async {
            let mut long = Timer::at(later(1_000));
            assert!(!is_expired(&mut long));
            sleep(MS).await;
        });
        task.await.unwrap();
        sleep(MS * 2_000).await;
    })
    .await;
}

/// Several runtimes on one thread one after the other, with timers that outlive theirs.
#[test]
fn a_new_runtime_on_the_thread_gets_a_driver_of_its_own() {
    let mut kept = Vec::new();
    for _ in 0..3 {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            let mut long = Timer::at(later(1_000));
            assert!(!is_expired(&mut long));
            kept.push(long);
            let task = tokio::task::spawn_local(sleep(MS * 20));
            task.await.unwrap();
        });
    }
}

/// A task that sets its unchanged deadline at every poll, as connections do, hears of it when it has passed.
#[tokio::test(start_paused = true)]
async fn setting_the_same_deadline_again_does_not_lose_it() {
    let mut timer = Timer::new();
    let deadline = later(20);
    let wakes = Arc::new(Count::default());
    poll_fn(|cx| {
        timer.set_deadline(Some(deadline));
        wakes.0.fetch_add(1, Ordering::Relaxed);
        timer.poll_expired(cx)
    })
    .await;
    assert!(Instant::now() >= deadline);
    assert!(wakes.0.load(Ordering::Relaxed) <= 3);
}
