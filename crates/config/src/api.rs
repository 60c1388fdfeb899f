//! Envoy's v3 messages under short names: `api::listener::Listener` instead of
//! `envoy_types::pb::envoy::config::listener::v3::Listener`.
//!
//! Only the crates at the configuration boundary may name these types; past it every subsystem has
//! its own validated structs (see ARCHITECTURE.md).

use envoy_types::pb::envoy::{config, extensions, r#type};

pub use crate::contrib;
pub use config::accesslog::v3 as access_log;
pub use config::bootstrap::v3 as bootstrap;
pub use config::cluster::v3 as cluster;
pub use config::common::mutation_rules::v3 as mutation_rules;
pub use config::core::v3 as core;
pub use config::endpoint::v3 as endpoint;
pub use config::listener::v3 as listener;
pub use config::metrics::v3 as metrics;
pub use config::route::v3 as route;
pub use config::trace::v3 as trace;
pub use envoy_types::pb::envoy::admin::v3 as admin;
pub use envoy_types::pb::envoy::service::discovery::v3 as discovery;
pub use envoy_types::pb::google::protobuf;
pub use envoy_types::pb::google::protobuf::Any;
pub use extensions::access_loggers::file::v3 as file_access_log;
pub use extensions::access_loggers::stream::v3 as stream_access_log;
pub use extensions::clusters::aggregate::v3 as aggregate;
pub use extensions::clusters::common::dns::v3 as dns_common;
pub use extensions::clusters::composite::v3 as composite;
pub use extensions::clusters::dns::v3 as dns_cluster;
pub use extensions::clusters::dynamic_forward_proxy::v3 as forward_proxy_cluster;
pub use extensions::common::dynamic_forward_proxy::v3 as dns_cache;
pub use extensions::filters::common::fault::v3 as common_fault;
pub use extensions::filters::common::set_filter_state::v3 as set_filter_state_value;
pub use extensions::filters::http::buffer::v3 as buffer;
pub use extensions::filters::http::dynamic_forward_proxy::v3 as forward_proxy_filter;
pub use extensions::filters::http::fault::v3 as fault;
pub use extensions::filters::http::grpc_http1_bridge::v3 as grpc_http1_bridge;
pub use extensions::filters::http::grpc_stats::v3 as grpc_stats;
pub use extensions::filters::http::grpc_web::v3 as grpc_web;
pub use extensions::filters::http::header_mutation::v3 as header_mutation;
pub use extensions::filters::http::health_check::v3 as health_check_filter;
pub use extensions::filters::http::router::v3 as router;
pub use extensions::filters::http::set_filter_state::v3 as set_filter_state;
pub use extensions::filters::http::stateful_session::v3 as stateful_session;
pub use extensions::filters::network::http_connection_manager::v3 as hcm;
pub use extensions::health_check::event_sinks::file::v3 as health_check_file_sink;
pub use extensions::health_checkers::redis::v3 as redis_health_check;
pub use extensions::health_checkers::udp::v3 as udp_health_check;
pub use extensions::http::header_formatters::preserve_case::v3 as preserve_case;
pub use extensions::http::stateful_session::cookie::v3 as session_cookie;
pub use extensions::http::stateful_session::envelope::v3 as session_envelope;
pub use extensions::http::stateful_session::header::v3 as session_header;
pub use extensions::internal_redirect::allow_listed_routes::v3 as allow_listed_routes;
pub use extensions::load_balancing_policies::client_side_weighted_round_robin::v3 as client_side_weighted_round_robin;
pub use extensions::load_balancing_policies::cluster_provided::v3 as cluster_provided;
pub use extensions::load_balancing_policies::common::v3 as lb_common;
pub use extensions::load_balancing_policies::least_request::v3 as least_request;
pub use extensions::load_balancing_policies::load_aware_locality::v3 as load_aware_locality;
pub use extensions::load_balancing_policies::maglev::v3 as maglev;
pub use extensions::load_balancing_policies::override_host::v3 as override_host;
pub use extensions::load_balancing_policies::random::v3 as random;
pub use extensions::load_balancing_policies::ring_hash::v3 as ring_hash;
pub use extensions::load_balancing_policies::round_robin::v3 as round_robin;
pub use extensions::load_balancing_policies::subset::v3 as subset;
pub use extensions::load_balancing_policies::wrr_locality::v3 as wrr_locality;
pub use extensions::network::dns_resolver::cares::v3 as cares_resolver;
pub use extensions::network::dns_resolver::getaddrinfo::v3 as getaddrinfo_resolver;
pub use extensions::network::dns_resolver::hickory::v3 as hickory_resolver;
pub use extensions::request_id::uuid::v3 as uuid_request_id;
pub use extensions::retry::host::omit_host_metadata::v3 as omit_host_metadata;
pub use extensions::retry::priority::previous_priorities::v3 as previous_priorities;
pub use extensions::transport_sockets::raw_buffer::v3 as raw_buffer;
pub use extensions::upstreams::http::v3 as http_protocol_options;
pub use r#type::matcher::v3 as matcher;
pub use r#type::metadata::v3 as metadata;
pub use r#type::v3 as types;
