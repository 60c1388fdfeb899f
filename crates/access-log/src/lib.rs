//! Substitution formatter and file access log.
