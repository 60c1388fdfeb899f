//! The built-in filters, one module each.

pub mod http;
pub mod listener;
#[cfg(test)]
mod testing;
