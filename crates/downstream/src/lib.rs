//! Listener manager, connection handler, filter-chain match and drains.
