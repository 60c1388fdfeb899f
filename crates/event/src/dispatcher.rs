//! Posting: the only way in which threads talk to each other.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::worker::WorkerContext;

/// The thread that was posted to has ended; the closure was dropped without being run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the thread has ended")
    }
}

impl std::error::Error for Ended {}

/// What travels to a worker.
pub(crate) enum Message {
    Call(Box<dyn FnOnce(&WorkerContext) + Send>),
    Stop,
}

/// Posts closures to one worker. Cheap to clone, usable from every thread.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    worker: usize,
    sender: mpsc::UnboundedSender<Message>,
}

impl Dispatcher {
    pub(crate) fn new(worker: usize) -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { worker, sender }, receiver)
    }

    /// The index of the worker behind this dispatcher.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Runs `call` on the worker's thread, after everything that was posted before it.
    ///
    /// # Errors
    /// [`Ended`] when the worker has stopped. A worker that stops later drops what it has not run.
    pub fn post(&self, call: impl FnOnce(&WorkerContext) + Send + 'static) -> Result<(), Ended> {
        self.send(Message::Call(Box::new(call)))
    }

    pub(crate) fn send(&self, message: Message) -> Result<(), Ended> {
        self.sender.send(message).map_err(|_| Ended)
    }
}

/// The dispatchers of all workers, by index. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Dispatchers {
    all: Arc<[Dispatcher]>,
}

impl Dispatchers {
    pub(crate) fn new(all: Vec<Dispatcher>) -> Self {
        Self { all: all.into() }
    }

    /// No worker at all: for tests, and for what is built before the workers are.
    pub fn none() -> Self {
        Self::default()
    }

    /// How many workers there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is no worker.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The dispatcher of worker `index`.
    pub fn get(&self, index: usize) -> Option<&Dispatcher> {
        self.all.get(index)
    }

    /// The dispatchers in the order of the workers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Dispatcher> {
        self.all.iter()
    }

    /// Posts `call` to every worker.
    ///
    /// # Errors
    /// [`Ended`] when at least one worker has stopped; the others have received the call.
    pub fn post_all(
        &self,
        call: impl Fn(&WorkerContext) + Send + Sync + 'static,
    ) -> Result<(), Ended> {
        let call = Arc::new(call);
        let mut result = Ok(());
        for dispatcher in self.iter() {
            let call = Arc::clone(&call);
            result = result.and(dispatcher.post(move |context| call(context)));
        }
        result
    }
}

/// Posts closures to the main thread.
#[derive(Clone)]
pub struct MainDispatcher {
    sender: mpsc::UnboundedSender<Box<dyn FnOnce() + Send>>,
}

impl fmt::Debug for MainDispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MainDispatcher").finish_non_exhaustive()
    }
}

impl MainDispatcher {
    /// Runs `call` on the main thread, after everything that was posted before it. State of the
    /// main thread is reached through a [`Slot`](crate::Slot) that was set there.
    ///
    /// # Errors
    /// [`Ended`] when the main thread's queue is gone.
    pub fn post(&self, call: impl FnOnce() + Send + 'static) -> Result<(), Ended> {
        self.sender.send(Box::new(call)).map_err(|_| Ended)
    }
}

/// The main thread's end: run it as a task of the main thread's loop.
pub struct MainQueue {
    receiver: mpsc::UnboundedReceiver<Box<dyn FnOnce() + Send>>,
}

impl fmt::Debug for MainQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MainQueue").finish_non_exhaustive()
    }
}

/// Makes the queue of the main thread.
pub fn main_queue() -> (MainDispatcher, MainQueue) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (MainDispatcher { sender }, MainQueue { receiver })
}

impl MainQueue {
    /// Runs posted closures until every [`MainDispatcher`] is gone.
    pub async fn run(mut self) {
        while let Some(call) = self.receiver.recv().await {
            call();
        }
    }

    /// Runs what is posted now and returns how many closures that were. For tests and for the last
    /// steps of a shutdown.
    pub fn run_pending(&mut self) -> usize {
        let mut count = 0;
        while let Ok(call) = self.receiver.try_recv() {
            call();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn main_queue_runs_in_order_and_tells_when_it_is_gone() {
        let (main, mut queue) = main_queue();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for i in 0..5 {
            let seen = Arc::clone(&seen);
            main.post(move || seen.lock().unwrap().push(i)).unwrap();
        }
        assert_eq!(queue.run_pending(), 5);
        assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3, 4]);
        drop(queue);
        assert_eq!(main.post(|| ()), Err(Ended));
    }
}
