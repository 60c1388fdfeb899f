//! What the interface answers: every path with its help text, its parameters and the code behind it.

use crate::handlers::{
    actions, clusters, config_dump, listeners, logging, lookups, pages, profiling, runtime,
    server_info, stats,
};
use crate::request::Request;
use crate::response::Response;
use crate::thread::Admin;

/// A path and what answers it.
pub(crate) struct Endpoint {
    pub(crate) path: &'static str,
    pub(crate) help: &'static str,
    /// It changes something: only POST is taken.
    pub(crate) mutates: bool,
    pub(crate) params: &'static [Param],
    pub(crate) handler: fn(&Admin, &Request) -> Response,
}

/// A query parameter, for the help text.
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) values: Values,
}

/// What a parameter may be.
#[derive(Clone, Copy)]
pub(crate) enum Values {
    /// Any text.
    Text,
    /// There or not.
    Flag,
    /// One of these.
    OneOf(&'static [&'static str]),
}

const fn get(
    path: &'static str,
    help: &'static str,
    params: &'static [Param],
    handler: fn(&Admin, &Request) -> Response,
) -> Endpoint {
    Endpoint {
        path,
        help,
        mutates: false,
        params,
        handler,
    }
}

const fn post(
    path: &'static str,
    help: &'static str,
    params: &'static [Param],
    handler: fn(&Admin, &Request) -> Response,
) -> Endpoint {
    Endpoint {
        mutates: true,
        ..get(path, help, params, handler)
    }
}

const fn text(name: &'static str, help: &'static str) -> Param {
    Param {
        name,
        help,
        values: Values::Text,
    }
}

const fn flag(name: &'static str, help: &'static str) -> Param {
    Param {
        name,
        help,
        values: Values::Flag,
    }
}

const fn choice(name: &'static str, help: &'static str, choices: &'static [&'static str]) -> Param {
    Param {
        name,
        help,
        values: Values::OneOf(choices),
    }
}

/// The endpoint of a path (without query).
pub(crate) fn find(path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.path == path)
}

/// What `/help` prints, and a request for an unknown path gets.
pub(crate) fn help() -> String {
    let mut out = String::from("admin commands are:\n");
    for endpoint in ENDPOINTS {
        let post = if endpoint.mutates { " (POST)" } else { "" };
        out.push_str(&format!("  {}{post}: {}\n", endpoint.path, endpoint.help));
        for param in endpoint.params {
            out.push_str(&format!("      {}: {}", param.name, param.help));
            if let Values::OneOf(choices) = param.values {
                out.push_str(&format!("; One of ({})", choices.join(", ")));
            }
            out.push('\n');
        }
    }
    out
}

/// In the order in which `/help` lists them. The texts are Envoy's, so that tools that parse them go on to work.
pub(crate) static ENDPOINTS: &[Endpoint] = &[
    get("/", "Admin home page", &[], pages::home),
    post(
        "/allocprofiler",
        "enable/disable the allocation profiler (if supported)",
        &[choice(
            "enable",
            "enable/disable the allocation profiler",
            &["y", "n"],
        )],
        profiling::alloc_profiler,
    ),
    get("/certs", "print certs on machine", &[], server_info::certs),
    get(
        "/clusters",
        "upstream cluster status",
        &[text(
            "filter",
            "Regular expression (Google re2) for filtering clusters by name",
        )],
        clusters::clusters,
    ),
    get(
        "/config_dump",
        "dump current Envoy configs",
        &[
            text("resource", "The resource to dump"),
            text(
                "mask",
                "The mask to apply. When both resource and mask are specified, the mask is applied to every element in the desired repeated field so that only a subset of fields are returned. The mask is parsed as a Protobuf::FieldMask",
            ),
            text(
                "name_regex",
                "Dump only the currently loaded configurations whose names match the specified regex. Can be used with both resource and mask query parameters.",
            ),
            flag(
                "include_eds",
                "Dump currently loaded configuration including EDS. See the response definition for more information",
            ),
        ],
        config_dump::config_dump,
    ),
    get(
        "/contention",
        "dump current Envoy mutex contention stats (if enabled)",
        &[],
        profiling::contention,
    ),
    post(
        "/cpuprofiler",
        "enable/disable the CPU profiler",
        &[choice("enable", "enables the CPU profiler", &["y", "n"])],
        profiling::cpu_profiler,
    ),
    post(
        "/drain_listeners",
        "drain listeners",
        &[
            flag(
                "graceful",
                "When draining listeners, enter a graceful drain period prior to closing listeners. This behaviour and duration is configurable via server options or CLI",
            ),
            flag(
                "skip_exit",
                "When draining listeners, drain the connections but never stop the listeners. The graceful parameter has no effect when this is set, since the drain period only delays stopping the listeners",
            ),
            flag(
                "inboundonly",
                "Drains all inbound listeners. traffic_direction field in envoy_v3_api_msg_config.listener.v3.Listener is used to determine whether a listener is inbound or outbound.",
            ),
        ],
        actions::drain_listeners,
    ),
    post(
        "/healthcheck/fail",
        "cause the server to fail health checks",
        &[],
        actions::health_check_fail,
    ),
    post(
        "/healthcheck/ok",
        "cause the server to pass health checks",
        &[],
        actions::health_check_ok,
    ),
    get(
        "/heap_dump",
        "dump current Envoy heap (if supported)",
        &[],
        profiling::heap_dump,
    ),
    post(
        "/heapprofiler",
        "enable/disable the heap profiler",
        &[choice(
            "enable",
            "enable/disable the heap profiler",
            &["y", "n"],
        )],
        profiling::heap_profiler,
    ),
    get(
        "/help",
        "print out list of admin commands",
        &[],
        pages::help,
    ),
    get(
        "/hot_restart_version",
        "print the hot restart compatibility version",
        &[],
        server_info::hot_restart_version,
    ),
    get(
        "/init_dump",
        "dump current Envoy init manager information (experimental)",
        &[text(
            "mask",
            "The desired component to dump unready targets. The mask is parsed as a Protobuf::FieldMask. For example, get the unready targets of all listeners with /init_dump?mask=listener`",
        )],
        server_info::init_dump,
    ),
    get(
        "/listeners",
        "print listener info",
        &[choice("format", "File format to use", &["text", "json"])],
        listeners::listeners,
    ),
    post(
        "/logging",
        "query/change logging levels",
        &[
            text(
                "paths",
                "Change multiple logging levels by setting to <logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>. If fine grain logging is enabled, use __FILE__ or a glob experision as the logger name. For example, source/common*:warning",
            ),
            text(
                "group",
                "Change given logger group to desired level, set to <logger_group_name>:<desired_level>. logger_group_name must be a logger name.",
            ),
            choice(
                "level",
                "desired logging level, this will change all loggers's level",
                &[
                    "", "trace", "debug", "info", "warning", "error", "critical", "off",
                ],
            ),
        ],
        logging::logging,
    ),
    get(
        "/memory",
        "print current allocation/heap usage",
        &[],
        server_info::memory,
    ),
    get(
        "/memory/tcmalloc",
        "print TCMalloc stats",
        &[],
        server_info::allocator,
    ),
    get(
        "/peak_heap_dump",
        "dump peak Envoy heap (if supported)",
        &[],
        profiling::heap_dump,
    ),
    post("/quitquitquit", "exit the server", &[], actions::quit),
    get(
        "/ready",
        "print server state, return 200 if LIVE, otherwise return 503",
        &[],
        server_info::ready,
    ),
    post(
        "/reopen_logs",
        "reopen access logs",
        &[],
        actions::reopen_logs,
    ),
    post(
        "/reset_counters",
        "reset all counters to zero",
        &[],
        actions::reset_counters,
    ),
    get("/runtime", "print runtime values", &[], runtime::runtime),
    post(
        "/runtime_modify",
        "Adds or modifies runtime values as passed in query parameters. To delete a previously added key, use an empty string as the value. Note that deletion only applies to overrides added via this endpoint; values loaded from disk can be modified via override but not deleted. E.g. ?key1=value1&key2=value2...",
        &[],
        runtime::modify,
    ),
    get(
        "/server_info",
        "print server version/status information",
        &[],
        server_info::server_info,
    ),
    get(
        "/stats",
        "print server stats",
        &[
            flag(
                "usedonly",
                "Only include stats that have been written by system since restart",
            ),
            text(
                "filter",
                "Regular expression (Google re2) for filtering stats",
            ),
            flag("invert_filter", "Invert the filter regex"),
            choice(
                "format",
                "Format to use",
                &["html", "active-html", "text", "json"],
            ),
            choice(
                "type",
                "Stat types to include.",
                &["All", "Counters", "Histograms", "Gauges", "TextReadouts"],
            ),
            choice(
                "histogram_buckets",
                "Histogram bucket display mode",
                &["cumulative", "disjoint", "detailed", "summary"],
            ),
        ],
        stats::stats,
    ),
    get(
        "/stats/prometheus",
        "print server stats in prometheus format",
        &[
            flag(
                "usedonly",
                "Only include stats that have been written by system since restart",
            ),
            flag(
                "text_readouts",
                "Render text_readouts as new gaugues with value 0 (increases Prometheus data size)",
            ),
            text(
                "filter",
                "Regular expression (Google re2) for filtering stats",
            ),
            flag("invert_filter", "Invert the filter regex"),
            choice(
                "histogram_buckets",
                "Histogram bucket display mode",
                &["cumulative", "summary"],
            ),
        ],
        stats::prometheus,
    ),
    get(
        "/stats/recentlookups",
        "Show recent stat-name lookups",
        &[],
        lookups::recent,
    ),
    post(
        "/stats/recentlookups/clear",
        "clear list of stat-name lookups and counter",
        &[],
        lookups::change,
    ),
    post(
        "/stats/recentlookups/disable",
        "disable recording of reset stat-name lookup names",
        &[],
        lookups::change,
    ),
    post(
        "/stats/recentlookups/enable",
        "enable recording of reset stat-name lookup names",
        &[],
        lookups::change,
    ),
];
