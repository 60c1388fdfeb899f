use super::*;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;

use crate::spawn;

/// Tells when it is dropped.
struct Guard(Rc<Cell<usize>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.update(|count| count + 1);
    }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// Waits for the next round.
async fn again() {
    let mut waits = true;
    poll_fn(|cx| match mem::take(&mut waits) {
        true => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        false => Poll::Ready(()),
    })
    .await;
}

#[tokio::test]
async fn tasks_run_in_the_order_of_their_wake_ups() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    for i in 0..5 {
        let seen = seen.clone();
        spawn(async move {
            seen.borrow_mut().push(i);
            again().await;
            seen.borrow_mut().push(10 + i);
        });
    }
    assert!(seen.borrow().is_empty(), "not before the next round");
    until(|| seen.borrow().len() == 10).await;
    assert_eq!(*seen.borrow(), [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]);
}

#[tokio::test]
async fn a_task_may_start_and_wake_others() {
    let (done, result) = oneshot::channel();
    spawn(async move {
        let (inner, answer) = oneshot::channel();
        spawn(async move {
            yield_now().await;
            inner.send(7).unwrap();
        });
        done.send(answer.await.unwrap()).unwrap();
    });
    assert_eq!(result.await, Ok(7));
}

#[tokio::test]
async fn other_threads_wake_tasks() {
    let (done, result) = oneshot::channel();
    let notify = Arc::new(Notify::new());
    let notified = Arc::clone(&notify);
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    spawn(async move {
        for _ in 0..100 {
            notified.notified().await;
            seen.fetch_add(1, Ordering::Release);
        }
        done.send(()).unwrap();
    });
    let thread = std::thread::spawn(move || {
        for turn in 0..100 {
            notify.notify_one();
            while count.load(Ordering::Acquire) == turn {
                std::thread::yield_now();
            }
        }
    });
    result.await.unwrap();
    thread.join().unwrap();
}

#[tokio::test]
async fn an_aborted_task_is_dropped_and_not_run() {
    let dropped = Rc::new(Cell::new(0));
    let (started, ran) = (Guard(dropped.clone()), Rc::new(Cell::new(0)));
    let count = ran.clone();
    let waiting = spawn(async move {
        let _started = started;
        count.set(1);
        std::future::pending::<()>().await;
    });
    until(|| ran.get() == 1).await;
    let never_run = Guard(dropped.clone());
    let other = spawn(async move {
        let _never = never_run;
        unreachable!("aborted before its first poll");
    });
    waiting.abort();
    other.abort();
    assert_eq!(dropped.get(), 0, "not while its owner is at work");
    until(|| dropped.get() == 2).await;
    // It is gone: nothing happens, not even to who has its place now.
    let (done, result) = oneshot::channel();
    spawn(async move {
        yield_now().await;
        done.send(()).unwrap();
    });
    waiting.abort();
    other.abort();
    result.await.unwrap();
}

#[tokio::test]
async fn a_task_may_abort_itself() {
    let dropped = Rc::new(Cell::new(0));
    let guard = Guard(dropped.clone());
    let own: Rc<RefCell<Option<crate::Task>>> = Rc::default();
    let handle = own.clone();
    let task = spawn(async move {
        let _guard = guard;
        handle.borrow().as_ref().unwrap().abort();
        std::future::pending::<()>().await;
    });
    own.replace(Some(task));
    until(|| dropped.get() == 1).await;
}

#[tokio::test]
async fn a_panic_ends_its_task_only() {
    let dropped = Rc::new(Cell::new(0));
    let guard = Guard(dropped.clone());
    spawn(async move {
        let _guard = guard;
        panic!("on purpose");
    });
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("on purpose, when dropped");
        }
    }
    spawn(async { drop(PanicsWhenDropped) });
    let bomb = PanicsWhenDropped;
    spawn(async move {
        let _bomb = bomb;
        std::future::pending::<()>().await;
    })
    .abort();
    let (done, result) = oneshot::channel();
    spawn(async move { done.send(()).unwrap() });
    result.await.unwrap();
    until(|| dropped.get() == 1).await;
}

#[test]
fn the_end_of_a_runtime_drops_its_tasks() {
    let dropped = Rc::new(Cell::new(0));
    for round in 1..=3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (waiting, unpolled) = (Guard(dropped.clone()), Guard(dropped.clone()));
        runtime.block_on(async {
            let started = Rc::new(Cell::new(false));
            let start = started.clone();
            spawn(async move {
                let _waiting = waiting;
                start.set(true);
                std::future::pending::<()>().await;
            });
            until(|| started.get()).await;
            spawn(async move {
                let _unpolled = unpolled;
            });
        });
        drop(runtime);
        assert_eq!(dropped.get(), 2 * round);
    }
}

#[tokio::test]
async fn a_wake_up_of_a_task_that_has_ended_is_nothing() {
    let waker = Rc::new(RefCell::new(None));
    let store = waker.clone();
    spawn(poll_fn(move |cx| {
        store.replace(Some(cx.waker().clone()));
        Poll::Ready(())
    }));
    until(|| waker.borrow().is_some()).await;
    let old = waker.borrow_mut().take().unwrap();
    old.wake_by_ref();
    std::thread::spawn(move || old.wake()).join().unwrap();
    yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_task_lets_the_runtime_turn() {
    let stop = Rc::new(Cell::new(false));
    let stopped = stop.clone();
    spawn(async move {
        while !stopped.get() {
            yield_now().await;
        }
    });
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    spawn(poll_fn(move |cx| {
        // Ready again at once, for ever.
        count.update(|count| count + 1);
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    for _ in 0..10 {
        yield_now().await;
    }
    assert!(polls.get() > 1);
    stop.set(true);
}
