//! A large body that comes fast is let gather: fewer and larger lots.
//!
//! Each time its bytes are moved, the origin and the client are woken, and so are we; with lots as small as what has come
//! meanwhile, these wake-ups cost more than the bytes. So the socket is told to say nothing of less than [`LOT`]
//! (`SO_RCVLOWAT`), for [`PATIENCE`] at most: a body whose source slows down is read as it comes again.

use std::task::Context;
use std::time::Duration;

use nuncio_event::Timer;
use tokio::time::Instant;

/// What gathers, in bytes: twice what a pipe holds.
const LOT: usize = 512 * 1024;
/// How long less than that may lie in the socket.
const PATIENCE: Duration = Duration::from_millis(1);
/// Bytes that must have gone before: shorter bodies are over before it has paid off.
const WARM_UP: u64 = 1024 * 1024;

/// Whether a response's body gathers.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Body bytes that have gone through pipes.
    moved: u64,
    /// When the socket was found empty last, and how much had gone until then.
    emptied: Option<(Instant, u64)>,
    /// There while the socket holds bytes back.
    patience: Option<Timer>,
}

/// What the socket is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Nothing new.
    Keep,
    /// To report only this many bytes, or the end.
    HoldBack(usize),
    /// To report every byte.
    Report,
}

impl Gathering {
    /// `count` bytes have gone; `left` are still to come.
    pub(super) fn on_moved(&mut self, count: usize, left: u64) -> Advice {
        self.moved += count as u64;
        match left < LOT as u64 {
            true => self.give_up(),
            false => Advice::Keep,
        }
    }

    /// The socket is empty; `left` bytes are still to come. The task is woken when patience ends.
    pub(super) fn on_empty(&mut self, cx: &mut Context<'_>, left: u64, now: Instant) -> Advice {
        if let Some(patience) = &mut self.patience {
            // A whole lot has come: patience begins anew.
            patience.set_deadline(Some(now + PATIENCE));
            let _ = patience.poll_expired(cx);
            return Advice::Keep;
        }
        let is_fast = self.emptied.is_some_and(|(at, moved)| {
            now < at + PATIENCE && self.moved > moved && self.moved >= WARM_UP
        });
        self.emptied = Some((now, self.moved));
        if !is_fast || left == u64::MAX || left < 2 * LOT as u64 {
            return Advice::Keep;
        }
        let mut patience = Timer::at(now + PATIENCE);
        let _ = patience.poll_expired(cx);
        self.patience = Some(patience);
        Advice::HoldBack(LOT)
    }

    /// The task was woken while the socket was still silent: is patience at its end?
    pub(super) fn on_silence(&mut self, cx: &mut Context<'_>) -> Advice {
        let patience = self.patience.as_mut();
        match patience.is_some_and(|patience| patience.poll_expired(cx).is_ready()) {
            true => self.give_up(),
            false => Advice::Keep,
        }
    }

    fn give_up(&mut self) -> Advice {
        self.emptied = None;
        match self.patience.take() {
            Some(_) => Advice::Report,
            None => Advice::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use nuncio_event::clock;

    use super::*;

    const LEFT: u64 = 1 << 30;
    const PIECE: usize = WARM_UP as usize;

    /// A piece comes after `gap`, then nothing more.
    async fn round(gathering: &mut Gathering, gap: Duration, left: u64) -> [Advice; 2] {
        tokio::time::advance(gap).await;
        let moved = gathering.on_moved(PIECE, left);
        let cx = &mut Context::from_waker(Waker::noop());
        [moved, gathering.on_empty(cx, left, clock::now())]
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_body_is_held_back_until_its_end_is_near() {
        let mut gathering = Gathering::default();
        let soon = PATIENCE / 2;
        let keep = [Advice::Keep; 2];
        assert_eq!(round(&mut gathering, soon, LEFT).await, keep);
        let held = round(&mut gathering, soon, LEFT).await;
        assert_eq!(held, [Advice::Keep, Advice::HoldBack(LOT)]);
        for _ in 0..10 {
            assert_eq!(round(&mut gathering, soon, LEFT).await, keep);
        }
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!(gathering.on_silence(cx), Advice::Keep);
        let near = gathering.on_moved(PIECE, LOT as u64 - 1);
        assert_eq!(near, Advice::Report);
        assert_eq!(gathering.on_moved(100, 0), Advice::Keep);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let mut gathering = Gathering::default();
        let soon = PATIENCE / 2;
        round(&mut gathering, soon, LEFT).await;
        let held = round(&mut gathering, soon, LEFT).await;
        assert_eq!(held[1], Advice::HoldBack(LOT));
        tokio::time::sleep(2 * PATIENCE).await;
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!(gathering.on_silence(cx), Advice::Report);
        assert_eq!(gathering.on_silence(cx), Advice::Keep);
        // It must be fast again first.
        assert_eq!(round(&mut gathering, soon, LEFT).await[1], Advice::Keep);
        let held = round(&mut gathering, soon, LEFT).await;
        assert_eq!(held[1], Advice::HoldBack(LOT));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_short_and_endless_bodies_are_not_held_back() {
        for (gap, left) in [
            (2 * PATIENCE, LEFT),
            (PATIENCE / 2, LOT as u64),
            (PATIENCE / 2, u64::MAX),
        ] {
            let mut gathering = Gathering::default();
            for _ in 0..5 {
                let advice = round(&mut gathering, gap, left).await;
                assert_eq!(advice, [Advice::Keep; 2], "{gap:?} {left}");
            }
        }
    }
}
