//! The built-in filters, one module each.

pub mod http;
#[cfg(test)]
mod testing;
