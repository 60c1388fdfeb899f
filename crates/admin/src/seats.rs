//! How many connections the interface has, and which of them may go when there are too many.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

/// All connections of the interface.
pub(crate) struct Seats {
    most: usize,
    taken: RefCell<Vec<Rc<Seat>>>,
}

/// One connection's place.
pub(crate) struct Seat {
    /// Since when it waits for a request; `None` while it has one.
    pub(crate) idle_since: Cell<Option<Instant>>,
    /// Wakes it to close.
    pub(crate) evicted: Notify,
}

impl Seats {
    /// Places for `most` connections.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: RefCell::default(),
        }
    }

    /// A place for a new connection. When all are taken, the connection that has been idle for longest is told to go;
    /// `None` if none is idle.
    pub(crate) fn take(&self) -> Option<Rc<Seat>> {
        let mut seats = self.taken.borrow_mut();
        if seats.len() >= self.most {
            let idle = seats.iter().enumerate();
            let idle = idle.filter_map(|(at, seat)| Some((seat.idle_since.get()?, at)));
            let (_, at) = idle.min()?;
            seats.swap_remove(at).evicted.notify_one();
        }
        let seat = Rc::new(Seat {
            idle_since: Cell::new(Some(Instant::now())),
            evicted: Notify::new(),
        });
        seats.push(seat.clone());
        Some(seat)
    }

    /// The connection is gone.
    pub(crate) fn give_back(&self, seat: &Rc<Seat>) {
        self.taken
            .borrow_mut()
            .retain(|known| !Rc::ptr_eq(known, seat));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_idle_goes() {
        let seats = Seats::new(4);
        let all: Vec<_> = (0..4).map(|_| seats.take().unwrap()).collect();
        all[0].idle_since.set(None);
        let late = seats.take().unwrap();
        // Ends at once: it was told.
        all[1].evicted.notified().await;
        all.iter()
            .chain([&late])
            .for_each(|seat| seat.idle_since.set(None));
        assert!(seats.take().is_none());
        seats.give_back(&late);
        assert!(seats.take().is_some());
    }
}
