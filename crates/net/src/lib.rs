//! Addresses, sockets and transport sockets.
