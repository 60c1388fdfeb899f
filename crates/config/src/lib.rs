//! Envoy v3 configuration: YAML, JSON and protobuf to typed messages, with diagnostics.
//!
//! The way of a configuration, in the order of the modules it passes:
//!
//! 1. `front`: the text becomes a tree of values, each with its line and column, by Envoy's rules for YAML or JSON;
//! 2. `decode`: the tree becomes protobuf's wire format, led by the [`schema`] that `build.rs` makes of the descriptor set of
//!    `envoy-types`; every mistake is collected, nothing stops at the first;
//! 3. `normalise`: only where needed (binary files, `--config-yaml` over a file), the encoding is merged and put in order;
//! 4. `check`: one walk applies Envoy's validation rules and the field `support` table, through every `Any`;
//! 5. [`load_bootstrap`] hands out the result: [`LoadedBootstrap::clusters`] and the like decode it with `prost` into the
//!    messages of [`api`].
//!
//! Who compiles a message into structs of its own reports a [`ConfigError`] with a path; [`Document::diagnose`] finds its place.
//!
//! ```
//! use nuncio_config::{Sources, load_bootstrap};
//!
//! let yaml = "static_resources: {clusters: [{name: a, conect_timeout: 1s}]}";
//! let sources = Sources { config_yaml: Some(yaml.into()), ..Sources::default() };
//! let errors = load_bootstrap(&sources).unwrap_err();
//! assert_eq!((errors[0].line, errors[0].column), (1, 41));
//! assert_eq!(errors[0].suggestion.as_deref(), Some("did you mean \"connect_timeout\"?"));
//! ```

pub mod any;
pub mod api;
pub mod assignment;
mod check;
mod check_name;
mod compatibility;
pub mod contrib;
pub mod convert;
mod decode;
mod diagnostic;
pub mod discovery;
mod document;
mod error;
mod front;
pub mod json;
mod load;
pub mod mask;
mod normalise;
mod path;
mod runtime;
pub mod schema;
mod static_cluster;
mod suggest;
mod support;
mod suspects;
mod wire;
pub mod xds_matchers;
mod yaml_value;

pub use check_name::{decode_cluster, encode_cluster, take_health_check_name};
pub use compatibility::render_compatibility;
pub use diagnostic::{Diagnostic, Severity};
pub use document::Document;
pub use error::{ConfigError, Within};
pub use load::{Judgement, LoadedBootstrap, Sources, fuzz_one, judge_bootstrap, load_bootstrap};
pub use runtime::is_unread_runtime_key;
pub use static_cluster::StaticCluster;
pub use yaml_value::yaml_value;
