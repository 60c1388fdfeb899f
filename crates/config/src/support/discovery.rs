//! Where configuration comes from that is discovered, and the answers of discovery.

use super::{Entry, Support::*, message};

const LOAD_ASSIGNMENT: &str = "envoy.config.endpoint.v3.ClusterLoadAssignment";
const RESOURCE: &str = "envoy.service.discovery.v3.Resource";

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "envoy.config.core.v3.ConfigSource",
        &[
            ("path", Implemented),
            ("path_config_source", Implemented),
            (
                "api_config_source",
                Refused("there is no xDS yet; use path_config_source"),
            ),
            (
                "ads",
                Refused("there is no xDS yet; use path_config_source"),
            ),
            (
                "self",
                Refused("there is no xDS yet; use path_config_source"),
            ),
            (
                "initial_fetch_timeout",
                Harmless("a file is read at once; Envoy does not wait for one either"),
            ),
            ("resource_api_version", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.PathConfigSource",
        &[("path", Implemented), ("watched_directory", Implemented)],
    ),
    message(
        "envoy.config.core.v3.WatchedDirectory",
        &[("path", Implemented)],
    ),
    message(
        "envoy.service.discovery.v3.DiscoveryResponse",
        &[
            ("version_info", Implemented),
            ("resources", Extension(&[LOAD_ASSIGNMENT, RESOURCE])),
            ("canary", Harmless("Envoy does not read it either")),
            ("type_url", Harmless("each resource tells its own type")),
            ("nonce", Harmless("a file is not answered")),
            ("control_plane", Harmless("only names who made the answer")),
        ],
    ),
    message(
        RESOURCE,
        &[
            ("name", Implemented),
            ("aliases", Harmless("a cluster's assignment has one name")),
            ("version", Harmless("the answer's own version counts")),
            ("resource", Extension(&[LOAD_ASSIGNMENT])),
        ],
    ),
];
