//! Contiguous byte buffers whose storage is pooled per thread.
//!
//! A [`Buffer`] is one `Vec<u8>` with a read offset. Storage comes from, and goes back to, a pool of
//! the current thread with a few size classes, so that a connection that waits for its peer owns no
//! memory and a busy one allocates nothing. Moving bytes between buffers swaps storage wherever the
//! result is the same.

mod buffer;
mod pool;

pub use buffer::Buffer;
pub use pool::MAX_POOLED;
