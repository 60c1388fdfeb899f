//! HTTP connection manager and router.
