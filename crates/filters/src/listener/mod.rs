//! Listener filters.

mod original_dst;

pub use original_dst::ORIGINAL_DST;
