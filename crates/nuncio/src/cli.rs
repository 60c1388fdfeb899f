//! The command line: Envoy's flags with Envoy's meaning.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use nuncio_sdk::DrainStrategy;
use nuncio_server::{IpVersion, Mode, Options};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Validate, or serve.
    Run(Box<Options>),
    /// Print this and exit with 0 (`--help`, `--version`, `--hot-restart-version`).
    Print(String),
}

/// Log levels by Envoy's names.
const LEVELS: [&str; 8] = [
    "trace", "debug", "info", "warning", "warn", "error", "critical", "off",
];

/// Reads the command line.
///
/// # Errors
/// A text for the user: which flag is wrong, and what it expects.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Request, String> {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {
            return Ok(Request::Print(error.to_string()));
        }
        Err(error) => return Err(format!("PARSE ERROR: {error}")),
    };
    if matches.get_flag("version") {
        return Ok(Request::Print(format!(
            "\nnuncio  version: {}\n",
            nuncio_server::version()
        )));
    }
    if matches.get_flag("hot-restart-version") {
        // What Envoy prints when hot restart is compiled out.
        return Ok(Request::Print("disabled\n".into()));
    }
    let options = options(&matches)?;
    refuse_unavailable(&matches, options.mode)?;
    Ok(Request::Run(Box::new(options)))
}

fn command() -> Command {
    let text = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("string").help(help)
    };
    let number = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("uint32_t")
            .value_parser(value_parser!(u32))
            .help(help)
    };
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::SetTrue)
            .help(help)
    };
    Command::new("nuncio")
        .about("An L4/L7 proxy that takes Envoy's v3 configuration")
        .disable_version_flag(true)
        .args_override_self(false)
        .arg(text("config-path", "Path to configuration file (.yaml, .json, .pb, .pb_text)").short('c'))
        .arg(text("config-yaml", "Inline YAML configuration, merges with the contents of --config-path"))
        .arg(switch("allow-unknown-fields", "Deprecated: use --allow-unknown-static-fields"))
        .arg(switch("allow-unknown-static-fields", "Allow unknown fields in static configuration"))
        .arg(switch("reject-unknown-dynamic-fields", "Reject unknown fields in dynamic configuration"))
        .arg(switch("ignore-unknown-dynamic-fields", "Ignore unknown fields in dynamic configuration"))
        .arg(switch("skip-deprecated-logs", "Do not warn of deprecated fields"))
        .arg(text("mode", "One of 'serve' (default; validate configs and then serve traffic normally) or 'validate' (validate configs and exit) or 'init_only' (load and initialize everything, then exit before serving)"))
        .arg(number("concurrency", "Number of worker threads to run; default: the CPUs that this process may use"))
        .arg(switch("cpuset-threads", "Get the default number of worker threads from the cpuset size"))
        .arg(text("log-level", "Log levels: trace, debug, info, warning|warn, error, critical, off. Default is info").short('l'))
        .arg(text("component-log-level", "Comma-separated list of component log levels, such as upstream:debug,config:trace"))
        .arg(text("log-format", "Log message format in spdlog syntax. Default is \"[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v\""))
        .arg(switch("log-format-escaped", "Escape c-style escape sequences in the application logs"))
        .arg(text("log-path", "Path to logfile"))
        .arg(switch("log-stacktrace-single-entry", "Accepted: a stack trace is always one log entry"))
        .arg(switch("enable-fine-grain-logging", "Log levels per source file instead of per component"))
        .arg(text("admin-address-path", "File that the bound admin address is written to"))
        .arg(text("local-address-ip-version", "The local IP address version (v4 or v6)"))
        .arg(text("service-cluster", "Cluster name"))
        .arg(text("service-node", "Node name"))
        .arg(text("service-zone", "Zone name"))
        .arg(number("drain-time-s", "Drain time in seconds, of hot restart and of removed listeners. Default is 600"))
        .arg(text("drain-strategy", "One of 'gradual' (default) or 'immediate'"))
        .arg(number("parent-shutdown-time-s", "Hot restart parent shutdown time in seconds. Default is 900"))
        .arg(number("file-flush-interval-msec", "Interval for log flushing in msec. Default is 10000"))
        .arg(number("file-flush-min-size-kb", "Minimum size in KB for log flushing. Default is 64"))
        .arg(text("disable-extensions", "Comma-separated list of extensions to disable"))
        .arg(text("stats-tag", "tag:value, a tag on every stat; accepted several times").action(ArgAction::Append))
        .arg(switch("enable-mutex-tracing", "Not available"))
        .arg(switch("enable-core-dump", "Enable core dumps"))
        .arg(number("base-id", "Keeps several processes on a host apart. Default is 0"))
        .arg(switch("use-dynamic-base-id", "Not available yet: needs hot restart"))
        .arg(text("base-id-path", "Not available yet: needs hot restart"))
        .arg(number("restart-epoch", "Hot restart epoch; only 0 is available yet"))
        .arg(switch("hot-restart-version", "Print the hot restart compatibility version and exit"))
        .arg(switch("disable-hot-restart", "Disable hot restart functionality"))
        .arg(switch("skip-hot-restart-on-no-parent", "Not available yet: needs hot restart"))
        .arg(switch("skip-hot-restart-parent-stats", "Not available yet: needs hot restart"))
        .arg(text("socket-path", "Path of the hot restart socket. Default is @envoy_domain_socket"))
        .arg(text("socket-mode", "Permissions of the hot restart socket. Default is 600"))
        .arg(switch("version", "Print the version and exit"))
        // As in Envoy, nobody looks at what stands behind `--`.
        .arg(Arg::new("ignored").last(true).num_args(0..).hide(true))
}

/// Flags whose effect would need something that is not there: said, rather than passed over.
fn refuse_unavailable(matches: &ArgMatches, mode: Mode) -> Result<(), String> {
    // Who only validates, or does without hot restart, gets nothing from its flags in Envoy, too.
    if mode != Mode::Validate && !matches.get_flag("disable-hot-restart") {
        refuse_hot_restart(matches)?;
    }
    for (flag, why) in [(
        "enable-mutex-tracing",
        "the data path takes no mutex that could be traced",
    )] {
        if matches.get_flag(flag) {
            return Err(format!("--{flag} is not available: {why}"));
        }
    }
    Ok(())
}

fn refuse_hot_restart(matches: &ArgMatches) -> Result<(), String> {
    for flag in [
        "use-dynamic-base-id",
        "skip-hot-restart-on-no-parent",
        "skip-hot-restart-parent-stats",
    ] {
        if matches.get_flag(flag) {
            return Err(format!(
                "--{flag}: hot restart is not available yet; start without it"
            ));
        }
    }
    if matches.contains_id("base-id-path") {
        return Err("--base-id-path: hot restart is not available yet; start without it".into());
    }
    match matches.get_one::<u32>("restart-epoch") {
        Some(epoch @ 1..) => Err(format!(
            "--restart-epoch {epoch}: hot restart is not available yet; only epoch 0 can be started"
        )),
        _ => Ok(()),
    }
}

fn options(matches: &ArgMatches) -> Result<Options, String> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let number = |name: &str| matches.get_one::<u32>(name).copied();
    let default = Options::default();
    let cpuset_threads = matches.get_flag("cpuset-threads");
    let options = Options {
        config_path: text("config-path").map(PathBuf::from),
        config_yaml: text("config-yaml").filter(|yaml| !yaml.is_empty()),
        allow_unknown_static_fields: matches.get_flag("allow-unknown-static-fields")
            || matches.get_flag("allow-unknown-fields"),
        reject_unknown_dynamic_fields: matches.get_flag("reject-unknown-dynamic-fields"),
        ignore_unknown_dynamic_fields: matches.get_flag("ignore-unknown-dynamic-fields"),
        skip_deprecated_logs: matches.get_flag("skip-deprecated-logs"),
        mode: one_of(matches, "mode", &[("serve", Mode::Serve), ("validate", Mode::Validate), ("init_only", Mode::InitOnly)])?.unwrap_or_default(),
        concurrency: match number("concurrency") {
            Some(count) => count.max(1) as usize,
            None => crate::cpus::usable(),
        },
        log_level: level(text("log-level").unwrap_or(default.log_level))?,
        component_log_level: text("component-log-level").unwrap_or_default(),
        fine_grain_logging: matches.get_flag("enable-fine-grain-logging"),
        log_format: text("log-format"),
        log_format_escaped: matches.get_flag("log-format-escaped"),
        log_path: text("log-path").map(PathBuf::from),
        admin_address_path: text("admin-address-path").map(PathBuf::from),
        local_address_ip_version: one_of(
            matches,
            "local-address-ip-version",
            &[("v4", IpVersion::V4), ("v6", IpVersion::V6)],
        )?
        .unwrap_or_default(),
        service_cluster: text("service-cluster").unwrap_or_default(),
        service_node: text("service-node").unwrap_or_default(),
        service_zone: text("service-zone").unwrap_or_default(),
        drain_time: number("drain-time-s").map_or(default.drain_time, |s| Duration::from_secs(s.into())),
        drain_strategy: one_of(
            matches,
            "drain-strategy",
            &[("gradual", DrainStrategy::Gradual), ("immediate", DrainStrategy::Immediate)],
        )?
        .unwrap_or(DrainStrategy::Gradual),
        parent_shutdown_time: number("parent-shutdown-time-s")
            .map_or(default.parent_shutdown_time, |s| Duration::from_secs(s.into())),
        file_flush_interval: number("file-flush-interval-msec")
            .map_or(default.file_flush_interval, |ms| Duration::from_millis(ms.into())),
        file_flush_min_size: number("file-flush-min-size-kb")
            .map_or(default.file_flush_min_size, |kb| kb as usize * 1024),
        disabled_extensions: text("disable-extensions")
            .map(|list| list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
            .unwrap_or_default(),
        stats_tags: stats_tags(matches)?,
        base_id: number("base-id").unwrap_or(0),
        restart_epoch: 0,
        disable_hot_restart: matches.get_flag("disable-hot-restart"),
        socket_path: text("socket-path").unwrap_or(default.socket_path),
        socket_mode: match text("socket-mode") {
            Some(mode) => u32::from_str_radix(&mode, 8).ok().filter(|&mode| mode <= 0o777).ok_or_else(|| {
                format!("error: invalid socket-mode '{mode}': expected three octal digits such as 600")
            })?,
            None => default.socket_mode,
        },
        cpuset_threads,
        enable_core_dump: matches.get_flag("enable-core-dump"),
        give_back_memory: None,
    };
    if options.fine_grain_logging && !options.component_log_level.is_empty() {
        return Err(
            "error: --component-log-level will not work with --enable-fine-grain-logging".into(),
        );
    }
    Ok(options)
}

fn one_of<T: Copy>(
    matches: &ArgMatches,
    name: &str,
    values: &[(&str, T)],
) -> Result<Option<T>, String> {
    let Some(given) = matches.get_one::<String>(name) else {
        return Ok(None);
    };
    match values.iter().find(|(text, _)| text == given) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let expected: Vec<_> = values.iter().map(|(text, _)| format!("'{text}'")).collect();
            Err(format!(
                "error: unknown {name} '{given}': expected {}",
                expected.join(" or ")
            ))
        }
    }
}

fn level(given: String) -> Result<String, String> {
    if LEVELS.contains(&given.as_str()) {
        return Ok(given);
    }
    Err(format!(
        "error: invalid log level specified '{given}': expected one of {}",
        LEVELS.join(", ")
    ))
}

fn stats_tags(matches: &ArgMatches) -> Result<Vec<(String, String)>, String> {
    let mut tags: Vec<(String, String)> = Vec::new();
    for tag in matches
        .get_many::<String>("stats-tag")
        .into_iter()
        .flatten()
    {
        let Some((name, value)) = tag.split_once(':') else {
            return Err(format!(
                "error: misformatted stats-tag '{tag}': expected tag:value"
            ));
        };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(format!(
                "error: misformatted stats-tag '{tag}' contains invalid char in '{name}'"
            ));
        }
        if value.is_empty() || value.contains('.') {
            return Err(format!(
                "error: misformatted stats-tag '{tag}' contains invalid char in '{value}'"
            ));
        }
        tags.push((name.to_owned(), value.to_owned()));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Options, String> {
        let all = std::iter::once("nuncio")
            .chain(args.iter().copied())
            .map(str::to_owned);
        parse(all).map(|request| match request {
            Request::Run(options) => *options,
            Request::Print(text) => panic!("printed {text}"),
        })
    }

    #[test]
    fn envoys_forms_are_understood() {
        let options = run(&[
            "-c",
            "a.yaml",
            "--concurrency=3",
            "-l",
            "debug",
            "--drain-time-s",
            "5",
            "--mode",
            "validate",
        ])
        .unwrap();
        assert_eq!(options.config_path, Some(PathBuf::from("a.yaml")));
        assert_eq!((options.concurrency, options.mode), (3, Mode::Validate));
        assert_eq!(
            (options.log_level.as_str(), options.drain_time),
            ("debug", Duration::from_secs(5))
        );
        let started = run(&["--mode", "init_only", "--enable-fine-grain-logging"]).unwrap();
        assert_eq!(started.mode, Mode::InitOnly);
        assert!(started.fine_grain_logging);
        assert_eq!(run(&["--concurrency", "0"]).unwrap().concurrency, 1);
    }

    #[test]
    fn wrong_values_are_named() {
        for (args, expected) in [
            (&["--mode", "serv"][..], "unknown mode 'serv'"),
            (&["-l", "loud"], "invalid log level specified 'loud'"),
            (
                &["--drain-strategy", "slow"],
                "unknown drain-strategy 'slow'",
            ),
            (&["--stats-tag", "a"], "misformatted stats-tag 'a'"),
            (
                &["--stats-tag", "a_b:c"],
                "misformatted stats-tag 'a_b:c' contains invalid char in 'a_b'",
            ),
            (&["--socket-mode", "9"], "invalid socket-mode '9'"),
            (&["--restart-epoch", "1"], "only epoch 0"),
            (
                &["--use-dynamic-base-id"],
                "hot restart is not available yet",
            ),
            (
                &[
                    "--enable-fine-grain-logging",
                    "--component-log-level",
                    "http:debug",
                ],
                "will not work with --enable-fine-grain-logging",
            ),
            (&["--concurrency", "many"], "concurrency"),
            (&["--no-such-flag"], "--no-such-flag"),
        ] {
            let error = run(args).unwrap_err();
            assert!(error.contains(expected), "{args:?}: {error}");
        }
    }

    #[test]
    fn information_is_printed() {
        for flag in ["--help", "--version", "--hot-restart-version"] {
            let request = parse(["nuncio".to_owned(), flag.to_owned()]);
            assert!(
                matches!(request, Ok(Request::Print(text)) if !text.is_empty()),
                "{flag}"
            );
        }
    }
}
