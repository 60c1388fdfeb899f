//! Route configurations compiled to an index with first-match semantics.
