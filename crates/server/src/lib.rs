//! Builds everything from a bootstrap, in order, and owns the main thread.
