//! Counters, gauges and histograms, sharded by thread.
//!
//! Who counts declares a [`Schema`] with [`stats_schema!`] and asks the [`Store`] for a [`Group`]: a name prefix
//! plus that schema. A thread that counts often keeps the group's [`LocalGroup`]; an increment there is one relaxed
//! load and one relaxed store to a slot that no other thread writes. Who counts rarely (the main thread, tests)
//! uses the methods of [`Group`] itself, which cost a lock but no memory per thread. Names exist only while
//! somebody reads.
//!
//! ```
//! use nuncio_stats::{Store, stats_schema};
//!
//! stats_schema! {
//!     /// What a cluster counts.
//!     pub ClusterTraffic {
//!         counters { upstream_rq_total, default_cx_open = "circuit_breakers.default.cx_open" }
//!         gauges { upstream_cx_active }
//!         histograms { upstream_rq_time (Ms) }
//!         codes { upstream_rq, external_upstream_rq = "external.upstream_rq" }
//!     }
//! }
//!
//! let store = Store::new(3);
//! Store::register_thread(0);
//! let group = store.group("cluster.web", ClusterTraffic::SCHEMA);
//! let local = group.local();
//! local.inc(ClusterTraffic::UPSTREAM_RQ_TOTAL);
//! local.record(ClusterTraffic::UPSTREAM_RQ_TIME, 12);
//! local.charge_code(ClusterTraffic::UPSTREAM_RQ, 200);
//! assert_eq!(group.counter(ClusterTraffic::UPSTREAM_RQ_TOTAL), 1);
//! ```

mod block;
mod codes;
mod config;
mod dynamic;
mod group;
mod histogram;
mod local;
mod name;
mod number;
mod outside;
mod read;
mod render;
mod schema;
mod store;
mod tags;
mod thread;

pub use codes::CodeSlot;
pub use config::{
    BucketSettings, DEFAULT_BOUNDS, NameMatcher, StatsConfig, StatsMatcher, TagPattern, TagSpan,
    TagSpecifier, TagValue,
};
pub use dynamic::{Counter, Gauge, Histogram, TextReadout};
pub use group::Group;
pub use histogram::{Bucket, HistogramView, QUANTILES, Span};
pub use local::LocalGroup;
pub use name::sanitize;
pub use outside::Outside;
pub use read::{Kind, Query, Stat, Value};
pub use render::HistogramBuckets;
pub use schema::{
    CounterSlot, GaugeDef, GaugeSlot, HistogramDef, HistogramSlot, ImportMode, Schema, Unit,
};
pub use store::Store;
pub use tags::{TagExtractors, Tagged, UnknownTag};

#[doc(hidden)]
pub mod private {
    //! What the code that [`stats_schema!`](crate::stats_schema) generates needs.
    pub use crate::schema::{
        NOT_WITH, USED_ALWAYS, code_slot, counter_slot, gauge_slot, histogram_slot, index_of,
        index_of_number,
    };
    pub use pastey::paste;
}
