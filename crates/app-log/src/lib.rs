//! The application log.
