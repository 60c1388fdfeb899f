//! Contiguous byte buffers whose storage is pooled per thread.
