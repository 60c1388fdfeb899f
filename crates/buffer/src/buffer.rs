//! [`Buffer`]: contiguous bytes with a read offset.

use std::{fmt, io, mem, ops::Deref};

use crate::pool;

/// Contiguous bytes: appended at the end, consumed from the front.
///
/// A new buffer owns no memory. Storage comes from a pool of the current thread at the first write
/// and returns to it on drop or [`release`](Self::release).
#[derive(Default)]
pub struct Buffer {
    data: Vec<u8>,
    /// Offset of the first unread byte; 0 whenever the buffer is empty.
    start: usize,
}

impl Buffer {
    /// An empty buffer that owns no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            data: Vec::new(),
            start: 0,
        }
    }

    /// Number of readable bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len() - self.start
    }

    /// Whether there is nothing to read.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory owned, used or not.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// The readable bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.data[self.start..]
    }

    /// The readable bytes, to be changed in place.
    #[inline]
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.data[self.start..]
    }

    /// Copies `bytes` to the end.
    #[inline]
    pub fn append_slice(&mut self, bytes: &[u8]) {
        self.writer(bytes.len()).extend_from_slice(bytes);
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.writer(1).push(byte);
    }

    /// Moves all bytes of `other` to the end of this buffer and leaves `other` empty.
    ///
    /// Copies as little as possible: nothing when this buffer is empty (storage is swapped), and
    /// only this buffer's own bytes when they are the fewer and fit in front of `other`'s, which is the
    /// case of a short head followed by a body that was read behind another head.
    pub fn append(&mut self, other: &mut Self) {
        if other.is_empty() {
            return;
        }
        let len = self.len();
        if len == 0 {
            mem::swap(self, other);
            other.clear();
        } else if len <= other.start && len < other.len() {
            let start = other.start - len;
            other.data[start..other.start].copy_from_slice(self.as_slice());
            other.start = start;
            mem::swap(self, other);
            other.clear();
        } else {
            self.append_slice(other.as_slice());
            other.clear();
        }
    }

    /// Drops the first `n` bytes.
    ///
    /// # Panics
    /// In debug builds, when there are fewer than `n`; otherwise everything is dropped.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len(), "consume({n}) of {} bytes", self.len());
        if n >= self.len() {
            self.clear();
        } else {
            self.start += n;
        }
    }

    /// Takes the first `n` bytes (at most all) into a buffer of their own, copying the smaller part.
    #[must_use]
    pub fn split_to(&mut self, n: usize) -> Self {
        let mut front = Self::new();
        self.move_to(&mut front, n);
        front
    }

    /// Moves the first `n` bytes (at most all) to the end of `dst`. When `dst` is empty, the smaller of the
    /// moved and the remaining bytes are copied; the rest is a swap of storage.
    pub fn move_to(&mut self, dst: &mut Self, n: usize) {
        let len = self.len();
        if n >= len {
            dst.append(self);
        } else if dst.is_empty() && n > len - n {
            dst.clear();
            dst.append_slice(&self.as_slice()[n..]);
            self.truncate(n);
            mem::swap(self, dst);
        } else {
            dst.append_slice(&self.as_slice()[..n]);
            self.consume(n);
        }
    }

    /// Keeps only the first `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        if n == 0 {
            self.clear();
        } else {
            self.data.truncate(self.start + n);
        }
    }

    /// Drops all bytes and keeps the storage.
    #[inline]
    pub fn clear(&mut self) {
        self.data.clear();
        self.start = 0;
    }

    /// Makes room for `n` more bytes.
    pub fn reserve(&mut self, n: usize) {
        let _ = self.writer(n);
    }

    /// The underlying vector with at least `min_spare` bytes of spare capacity behind its end, for
    /// a reader that fills spare capacity (`tokio`'s `try_read_buf`, `bytes::BufMut`).
    ///
    /// The caller may only append: what lies in front of the vector's end belongs to the buffer.
    #[inline]
    pub fn writer(&mut self, min_spare: usize) -> &mut Vec<u8> {
        if self.data.capacity() - self.data.len() < min_spare {
            if self.data.capacity() == 0 {
                self.data = pool::take(min_spare);
            } else {
                self.make_room(min_spare);
            }
        }
        &mut self.data
    }

    /// Gives the storage back to the pool if the buffer is empty.
    pub fn release(&mut self) {
        if self.is_empty() && self.data.capacity() != 0 {
            self.start = 0;
            pool::give(mem::take(&mut self.data));
        }
    }

    #[cold]
    fn make_room(&mut self, min_spare: usize) {
        let len = self.len();
        let needed = len.saturating_add(min_spare);
        // Moving the bytes to the front pays when it frees at least as much as it copies; a
        // buffer that is always nearly full would otherwise be copied for every few bytes.
        if needed <= self.data.capacity() && self.start >= len {
            self.data.copy_within(self.start.., 0);
            self.data.truncate(len);
        } else {
            let wanted = if needed > pool::MAX_POOLED && len > 0 {
                needed.max(self.data.capacity().saturating_mul(2))
            } else {
                needed
            };
            let mut grown = pool::take(wanted);
            grown.extend_from_slice(self.as_slice());
            pool::give(mem::replace(&mut self.data, grown));
        }
        self.start = 0;
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if self.data.capacity() != 0 {
            pool::give(mem::take(&mut self.data));
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::from(self.as_slice())
    }
}

impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Self {
        let mut buffer = Self::new();
        buffer.append_slice(bytes);
        buffer
    }
}

impl<const N: usize> From<&[u8; N]> for Buffer {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl From<&str> for Buffer {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

/// Takes the vector over as storage.
impl From<Vec<u8>> for Buffer {
    fn from(data: Vec<u8>) -> Self {
        Self { data, start: 0 }
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Buffer {}

impl PartialEq<[u8]> for Buffer {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_slice() == other
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer(\"{}\")", self.as_slice().escape_ascii())
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append_slice(text.as_bytes());
        Ok(())
    }
}

impl bytes::Buf for Buffer {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.as_slice()
    }

    fn advance(&mut self, n: usize) {
        self.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_buffer_owns_nothing_and_a_released_one_neither() {
        let mut buffer = Buffer::new();
        assert_eq!(buffer.capacity(), 0);
        buffer.append_slice(b"hello");
        assert_eq!(buffer.capacity(), 1 << 10);
        buffer.release();
        assert_eq!(buffer.as_slice(), b"hello", "release leaves bytes alone");
        buffer.consume(5);
        buffer.release();
        assert_eq!(buffer.capacity(), 0);
    }

    #[test]
    fn append_to_an_empty_buffer_swaps_storage() {
        let mut from = Buffer::from(&[7; 9000]);
        from.consume(10);
        let place = from.as_ptr();
        let mut to = Buffer::new();
        to.append(&mut from);
        assert_eq!((to.as_ptr(), to.len(), from.len()), (place, 8990, 0));
        assert_eq!(from.start, 0);
    }

    #[test]
    fn a_short_head_is_put_in_front_of_a_body_with_room() {
        let mut body = Buffer::from(b"old head|body body");
        body.consume(9);
        let place = body.as_ptr();
        let mut out = Buffer::from("head|");
        out.append(&mut body);
        assert_eq!(out.as_slice(), b"head|body body");
        assert_eq!(out.as_ptr().wrapping_add(5), place);
        assert!(body.is_empty());
    }

    #[test]
    fn append_copies_when_both_hold_bytes() {
        let mut a = Buffer::from("abc");
        let mut b = Buffer::from("def");
        a.append(&mut b);
        assert_eq!(a.as_slice(), b"abcdef");
        assert!(b.is_empty());
    }

    #[test]
    fn split_and_move_keep_order_whichever_part_is_copied() {
        for n in [0, 1, 3, 5, 9, 10, 99] {
            let mut all = Buffer::from("0123456789");
            let front = all.split_to(n);
            let n = n.min(10);
            assert_eq!(front.as_slice(), &b"0123456789"[..n]);
            assert_eq!(all.as_slice(), &b"0123456789"[n..]);
        }
        let mut dst = Buffer::from("x");
        let mut src = Buffer::from("0123456789");
        src.move_to(&mut dst, 8);
        assert_eq!(
            (dst.as_slice(), src.as_slice()),
            (&b"x01234567"[..], &b"89"[..])
        );
    }

    #[test]
    fn writer_compacts_before_it_grows() {
        let mut buffer = Buffer::from(&[1; 1000]);
        let capacity = buffer.capacity();
        buffer.consume(900);
        let spare = buffer.writer(500);
        assert!(spare.capacity() - spare.len() >= 500);
        assert_eq!((buffer.capacity(), buffer.len()), (capacity, 100));
        buffer.reserve(70_000);
        assert_eq!(buffer.len(), 100);
        assert!(buffer.capacity() >= 70_100);
    }

    #[test]
    fn a_queue_that_is_never_empty_does_not_grow() {
        let mut buffer = Buffer::new();
        for _ in 0..10_000 {
            buffer.append_slice(&[0; 100]);
            if buffer.len() > 1000 {
                buffer.consume(100);
            }
        }
        assert!(buffer.capacity() <= 4 << 10);
    }

    #[test]
    fn write_traits() {
        use std::fmt::Write as _;
        use std::io::Write as _;
        let mut buffer = Buffer::new();
        write!(&mut buffer as &mut dyn fmt::Write, "{}-", 1).unwrap();
        buffer.write_all(b"two").unwrap();
        buffer.write_char('!').unwrap();
        assert_eq!(buffer.as_slice(), b"1-two!");
    }
}
