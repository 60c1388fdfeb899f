//! The built-in filters.
