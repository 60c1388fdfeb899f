//! Matchers of strings and of requests, compiled from their messages.

mod cookie;
mod filter_state;
mod header;
mod metadata;
pub(crate) mod query;
mod string;

pub use cookie::{CookieMatcher, cookie};
pub use filter_state::FilterStateMatcher;
pub use header::{HeaderMatcher, HeaderName, all_headers_match};
pub use metadata::MetadataMatcher;
pub(crate) use metadata::ValueMatcher;
pub use query::QueryParameterMatcher;
pub use string::StringMatcher;
