//! `grpc_stats.v3.FilterConfig`: whose calls are counted by name.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use nuncio_config::api::core::GrpcMethodList;
use nuncio_config::api::grpc_stats::FilterConfig;
use nuncio_config::api::grpc_stats::filter_config::PerMethodStatSpecifier;
use nuncio_sdk::StreamInfo;

use crate::http::grpc_counts::{Calls, Family, GrpcCounts};

/// The validated configuration.
pub(super) struct Settings {
    named: Named,
    /// `enable_upstream_stats`
    pub(super) times: bool,
    /// `emit_filter_state`
    pub(super) emits_state: bool,
    /// `replace_dots_in_grpc_service_name`
    replace_dots: bool,
}

/// Which calls are counted under the name of their method; others are counted together.
enum Named {
    All,
    /// Methods by service.
    Listed(HashMap<Box<[u8]>, HashSet<Box<[u8]>>>),
}

impl Settings {
    pub(super) fn new(config: FilterConfig) -> Settings {
        let FilterConfig {
            emit_filter_state,
            enable_upstream_stats,
            replace_dots_in_grpc_service_name,
            per_method_stat_specifier,
        } = config;
        Settings {
            named: match per_method_stat_specifier {
                Some(PerMethodStatSpecifier::StatsForAllMethods(all)) if all.value => Named::All,
                Some(PerMethodStatSpecifier::IndividualMethodStatsAllowlist(list)) => listed(list),
                Some(PerMethodStatSpecifier::StatsForAllMethods(_)) | None => {
                    Named::Listed(HashMap::new())
                }
            },
            times: enable_upstream_stats,
            emits_state: emit_filter_state,
            replace_dots: replace_dots_in_grpc_service_name,
        }
    }

    /// Where to count a call of this service and method to the stream's cluster.
    pub(super) fn find_calls(
        &self,
        counts: &GrpcCounts,
        info: &StreamInfo,
        (service, method): (&[u8], &[u8]),
    ) -> Option<Rc<Calls>> {
        match &self.named {
            Named::All if self.replace_dots && service.contains(&b'.') => {
                let mut replaced = service.to_vec();
                for byte in replaced.iter_mut().filter(|byte| **byte == b'.') {
                    *byte = b'_';
                }
                counts.calls(info, Family::Grpc, Some((&replaced, method)))
            }
            Named::All => counts.calls(info, Family::Grpc, Some((service, method))),
            Named::Listed(services) => {
                let is_listed = services
                    .get(service)
                    .is_some_and(|methods| methods.contains(method));
                counts.calls(info, Family::Grpc, is_listed.then_some((service, method)))
            }
        }
    }
}

fn listed(list: GrpcMethodList) -> Named {
    let mut services: HashMap<Box<[u8]>, HashSet<Box<[u8]>>> = HashMap::new();
    for service in list.services {
        let methods = service.method_names.into_iter();
        services
            .entry(service.name.into_bytes().into())
            .or_default()
            .extend(methods.map(|method| method.into_bytes().into()));
    }
    Named::Listed(services)
}
