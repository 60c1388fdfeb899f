//! Route configurations compiled to an index with first-match semantics.
//!
//! * [`compile`] turns a `RouteConfiguration` into a [`RouteTable`], off the data path; all errors at once.
//! * [`WorkerRouteTable`] is one worker's view of it: [`WorkerRouteTable::find`] gives the [`RouteEntry`] of a request
//!   without a lock and without an allocation.
//! * [`RouteEntry`] knows what the router needs: the action, the cluster, and how headers are finalized.
//! * [`HeaderMutations`], [`HeaderChanges`], [`matchers`] and [`regex`] serve filters too.
//!
//! What is absent: nothing here knows a cluster, only names of clusters; nothing counts; nothing waits.

mod action;
mod changes;
mod compile;
mod entry;
mod hash_policy;
mod hosts;
mod index;
mod internal_redirect;
pub mod matchers;
pub mod matching;
mod metadata_match;
mod mirror;
mod mutations;
mod path;
mod problems;
mod redirect;
pub mod regex;
mod retry;
mod rewrite;
mod table;
mod template;
mod worker;

pub use action::{Action, DirectResponse, Forward, MaxStreamDuration, Redirect, Special};
pub use changes::HeaderChanges;
pub use compile::{CompileContext, compile};
pub use entry::{DirectReply, RouteEntry};
pub use hash_policy::HashPolicy;
pub use internal_redirect::{InternalRedirect, RedirectPredicate};
pub use metadata_match::{LB_NAMESPACE, MetadataMatch, merged as merged_criteria};
pub use mirror::{MirrorPolicy, MirrorTarget};
pub use mutations::HeaderMutations;
pub use retry::{ResetHeader, RetryOn, RetryPolicy};
pub use rewrite::update_authority;
pub use table::{RouteTable, VirtualCluster};
pub use worker::WorkerRouteTable;
