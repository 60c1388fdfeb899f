//! Flow-control windows (RFC 9113, section 5.2).

use super::frame::MAX_31;

/// Bytes that may be sent. Negative after the peer lowered `SETTINGS_INITIAL_WINDOW_SIZE` (section 6.9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SendWindow(i32);

/// A window would be larger than 2^31-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl SendWindow {
    /// A window of `size` bytes, at most 2^31-1.
    pub(super) const fn new(size: u32) -> Self {
        Self(size as i32)
    }

    /// Bytes that may be sent now.
    #[inline]
    pub(super) const fn available(self) -> usize {
        if self.0 > 0 { self.0 as usize } else { 0 }
    }

    /// `n` bytes were sent; at most what is available.
    #[inline]
    pub(super) const fn sent(&mut self, n: usize) {
        self.0 -= n as i32;
    }

    /// WINDOW_UPDATE, or a change of the initial size.
    #[inline]
    pub(super) fn change(&mut self, by: i64) -> Result<(), Overflow> {
        let size = i64::from(self.0) + by;
        if size > i64::from(MAX_31) {
            return Err(Overflow);
        }
        // Two changes of the initial size by 2^31-1 each cannot go below: what was sent is within the size.
        self.0 = i32::try_from(size).map_err(|_| Overflow)?;
        Ok(())
    }
}

/// Bytes that may be received, and those that were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReceiveWindow {
    limit: u32,
    /// Bytes received that no WINDOW_UPDATE has given back.
    used: u32,
    /// Of these, the bytes that were consumed.
    consumed: u32,
}

impl ReceiveWindow {
    /// A window of `limit` bytes, at most 2^31-1.
    pub(super) const fn new(limit: u32) -> Self {
        Self {
            limit,
            used: 0,
            consumed: 0,
        }
    }

    /// Whether the peer may send `n` bytes.
    #[inline]
    pub(super) const fn allows(self, n: usize) -> bool {
        n <= (self.limit - self.used) as usize
    }

    /// `n` bytes came; at most what is [allowed](Self::allows).
    #[inline]
    pub(super) fn receive(&mut self, n: usize) {
        debug_assert!(self.allows(n));
        self.used += n as u32;
    }

    /// `n` received bytes (at most all) need no memory any more. Returns the WINDOW_UPDATE that is due:
    /// when half of the window is to be given back, as nghttp2 does.
    #[inline]
    pub(super) fn consume(&mut self, n: usize) -> Option<u32> {
        let held = self.used - self.consumed;
        self.consumed += u32::try_from(n).map_or(held, |n| n.min(held));
        if self.consumed < self.limit.div_ceil(2) {
            return None;
        }
        let update = self.consumed;
        self.used -= update;
        self.consumed = 0;
        Some(update)
    }

    /// Bytes received and not consumed.
    #[inline]
    pub(super) const fn held(self) -> usize {
        (self.used - self.consumed) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_goes_below_zero_and_never_above_its_largest() {
        let mut window = SendWindow::new(10);
        window.sent(10);
        assert_eq!(window.change(-5), Ok(()));
        assert_eq!(window.available(), 0);
        assert_eq!(window.change(6), Ok(()));
        assert_eq!(window.available(), 1);
        assert_eq!(window.change(i64::from(MAX_31)), Err(Overflow));
        assert_eq!(window.available(), 1);
        assert_eq!(window.change(i64::from(MAX_31) - 1), Ok(()));
        assert_eq!(window.available(), MAX_31 as usize);
    }

    #[test]
    fn a_receive_window_is_given_back_by_halves() {
        let mut window = ReceiveWindow::new(101);
        window.receive(60);
        assert!(!window.allows(42));
        window.receive(41);
        assert_eq!(window.consume(50), None);
        assert_eq!(window.held(), 51);
        assert_eq!(window.consume(1), Some(51));
        window.receive(51);
        assert!(!window.allows(1));
        assert_eq!(window.consume(1000), Some(101), "no more than was received");
        assert_eq!(window.held(), 0);
    }
}
