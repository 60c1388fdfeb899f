//! The admin interface, on a thread of its own.
