//! The process: what it refuses, what it answers to signals, what its flags do.

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use rustix::process::Signal;
use support::{Sandbox, program, wait_for_text};

/// What makes a file as soon as it is started.
const HEAD: &str = r#"admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}
static_resources:
  listeners:
  - name: front
    address: {pipe: {path: /tmp/nuncio-front.sock}}
"#;

/// A mistake's line, its path, and a word of what is said about it.
type Mistake = (u32, &'static str, &'static str);

/// A bootstrap with mistakes of several kinds: misspelt, of the wrong kind, out of range, not there yet.
const BAD: &str = "    filter_chain: []
  clusters:
  - name: one
    type: STATICK
    connect_timeout: 0s
    load_assignment:
      cluster_name: one
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 70000}}}}]}]
  - name: two
    lrs_server: {self: {}}
    dns_refresh_rate: 1x
    load_assignment: {cluster_name: two}
";

const MISTAKES: &[Mistake] = &[
    (7, "static_resources.listeners[0]", "\"filter_chains\""),
    (10, "static_resources.clusters[0].type", "\"STATIC\""),
    (
        11,
        "static_resources.clusters[0].connect_timeout",
        "greater than",
    ),
    (14, "socket_address.port_value", "65535"),
    (16, "static_resources.clusters[1].lrs_server", "unsupported"),
    (17, "static_resources.clusters[1].dns_refresh_rate", "1x"),
];

fn run(sandbox: &Sandbox, args: &[&str]) -> Output {
    program()
        .arg("-c")
        .arg(&sandbox.config)
        .args(args)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every mistake is told with its line and its path, in serve and in validate mode, and nothing was started.
#[test]
fn a_bad_bootstrap_is_refused_with_all_its_errors() {
    for args in [&[][..], &["--mode", "validate"]] {
        let sandbox = Sandbox::of_text("bad.yaml", &format!("{HEAD}{BAD}"));
        let output = run(&sandbox, args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let log = stderr(&output);
        for (line, path, what) in MISTAKES {
            let place = format!("{}:{line}:", sandbox.config.display());
            for part in [&place, *path, *what] {
                assert!(log.contains(part), "{part} is not in\n{log}");
            }
        }
        let count = format!("the configuration was refused: {} errors", MISTAKES.len());
        assert!(log.contains(&count), "{log}");
        assert!(!sandbox.file("nuncio-front.sock").exists());
        assert!(!log.contains("starting main dispatch loop"), "{log}");
    }
}

/// What only the conversion finds is told together with what the loader finds, but not what may be its consequence.
#[test]
fn errors_of_loading_and_of_converting_are_told_at_once() {
    let text = r#"static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          http_filters:
          - {name: router, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: any
              domains: ['*']
              routes:
              - {match: {prefix: /misspelt}, route: {cluster: misspelt}}
              - {match: {prefix: /good}, route: {cluster: good}}
              - {match: {prefix: /uneven}, route: {cluster: uneven}}
              - {match: {prefix: /}, route: {cluster: nowhere}}
  clusters:
  - name: misspelt
    conect_timeout: 1s
  - name: good
    connect_timeout: 1s
  - name: good
  - {name: uneven, lb_policy: MAGLEV, maglev_lb_config: {table_size: 4}}
"#;
    let mistakes = [
        "unknown cluster 'nowhere'",
        "no such field: 'conect_timeout'",
        "duplicate cluster 'good'",
        "must be prime number",
    ];
    let sandbox = Sandbox::of_text("two-stages.yaml", text);
    let log = stderr(&run(&sandbox, &["--mode", "validate"]));
    let mut rest = &*log;
    for mistake in mistakes {
        let at = rest.find(mistake);
        rest = &rest[at.unwrap_or_else(|| panic!("no {mistake}, or out of order:\n{log}"))..];
    }
    assert!(log.contains("refused: 4 errors"), "{log}");
}

/// `--mode init_only` ends when everything that start-up waits for is there.
#[test]
fn initialized_only_it_ends_before_it_serves() {
    let sandbox = Sandbox::of_text(
        "init.yaml",
        "static_resources: {clusters: [{name: a, load_assignment: {cluster_name: a}}]}\n",
    );
    let output = run(&sandbox, &["--mode", "init_only"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let log = stderr(&output);
    assert!(log.contains("exiting"), "{log}");
    assert!(!log.contains("starting main dispatch loop"), "{log}");
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let output = program().args(["-c", "no/such.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no/such.yaml"), "{output:?}");
}

#[test]
fn a_wrong_flag_is_refused() {
    let output = program().arg("--no-such-flag").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--no-such-flag"), "{output:?}");
}

#[test]
fn validate_says_so_and_starts_nothing() {
    let sandbox = Sandbox::of_example("unix-socket.yaml");
    let output = run(&sandbox, &["--mode", "validate"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = format!("configuration '{}' OK", sandbox.config.display());
    assert!(said.contains(&expected), "{said}");
    assert!(!sandbox.file("nuncio-example.sock").exists());
}

/// Levels of source files, listed once they have logged something.
#[test]
fn fine_grain_logging_has_levels_of_files() {
    let sandbox = Sandbox::of_example("quickstart.yaml");
    let proxy = sandbox.start(&["--enable-fine-grain-logging"]);
    let post = |path: &str| {
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        proxy.request(9901, &request)
    };
    let start = post("/logging").body;
    let line = "  crates/server/src/main_loop.rs: info\n";
    assert!(
        start.starts_with("active loggers:\n") && start.contains(line),
        "{start}"
    );
    let set = post("/logging?paths=main_*:error,crates/admin/*:warning").body;
    assert!(
        set.contains("  crates/server/src/main_loop.rs: error\n"),
        "{set}"
    );
    let set = post("/logging?level=debug").body;
    assert!(
        set.contains("  crates/server/src/main_loop.rs: debug\n"),
        "{set}"
    );
    let set = post("/logging?group=main:critical").body;
    assert!(
        set.contains("  crates/server/src/main_loop.rs: critical\n"),
        "{set}"
    );
    for (path, error) in [
        (
            "/logging?group=main",
            "empty logger name or empty logger level in group",
        ),
        ("/logging?group=main:loud", "unknown logger level"),
        ("/logging?a=info&b=info", "invalid number of parameters"),
    ] {
        let answer = post(path);
        assert_eq!(answer.status, 400);
        assert!(
            answer.body.starts_with(&format!("error: {error}\n")),
            "{}",
            answer.body
        );
    }
    assert!(!proxy.log().contains("[info][main]"), "{}", proxy.log());
}

#[test]
fn terminate_and_interrupt_end_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut proxy = Sandbox::of_example("quickstart.yaml").start(&[]);
        proxy.signal(signal);
        assert_eq!(proxy.wait().code(), Some(0), "{}", proxy.log());
        let log = proxy.log();
        for line in [
            "shutting down server instance",
            "main dispatch loop exited",
            "exiting",
        ] {
            assert!(log.contains(line), "no {line} in {log}");
        }
    }
}

#[test]
fn a_hang_up_changes_nothing() {
    let proxy = Sandbox::of_example("quickstart.yaml").start(&[]);
    proxy.signal(Signal::HUP);
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(proxy.request(10000, request).status, 200);
    let told = || proxy.log().contains("eating SIGHUP").then_some(());
    assert!(support::wait_for(told).is_some(), "{}", proxy.log());
}

/// SIGUSR1 reopens access logs and the application log, so that both can be rotated.
#[test]
fn usr1_reopens_the_logs() {
    let sandbox = Sandbox::of_example("access-log.yaml");
    let application = sandbox.file("application.log");
    let path = application.to_str().unwrap().to_owned();
    // With a log path, standard error no longer tells when it serves: the line comes from the file.
    let log = sandbox.file("nuncio-text.log");
    let (moved, moved_application) = (sandbox.file("1.log"), sandbox.file("2.log"));
    let proxy = sandbox.start_logging_to(
        &application,
        &["--file-flush-interval-msec", "50", "--log-path", &path],
    );
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(proxy.request(10000, &request).status, 200);
    };

    get("/first");
    wait_for_text(&log, "/first");
    fs::rename(&log, &moved).unwrap();
    fs::rename(&application, &moved_application).unwrap();
    // What is written before the signal still belongs to the old file.
    get("/second");
    wait_for_text(&moved, "/second");
    proxy.signal(Signal::USR1);
    wait_for_text(&moved_application, "SIGUSR1");
    // The new file is there before anything is written to it.
    wait_for_text(&log, "");
    wait_for_text(&application, "");
    get("/third");
    assert!(!wait_for_text(&log, "/third").contains("/second"));
    assert!(!fs::read_to_string(&moved).unwrap().contains("/third"));
}

/// Logs are complete when the process has ended, however long the flush interval is.
#[test]
fn nothing_of_the_log_is_lost_at_the_end() {
    let mut proxy = Sandbox::of_example("access-log.yaml").start(&[]);
    for number in 0..20 {
        let request = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
        proxy.request(10000, &request);
    }
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    let log = fs::read_to_string(proxy.sandbox.file("nuncio-text.log")).unwrap();
    assert_eq!(log.lines().count(), 20, "{log}");
}

/// `--config-yaml` is merged over the file: lists grow, scalars are replaced.
#[test]
fn config_yaml_is_merged_over_the_file() {
    let sandbox = Sandbox::of_example("unix-socket.yaml");
    let more = format!(
        "static_resources: {{clusters: [{{name: more, type: STATIC, load_assignment: {{cluster_name: more}}}}], \
         listeners: [{{name: more, address: {{pipe: {{path: {}}}}}, filter_chains: [{{filters: [{{name: hcm, typed_config: {{\
         '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, \
         stat_prefix: more, \
         route_config: {{virtual_hosts: [{{name: more, domains: ['*'], routes: [{{match: {{prefix: /}}, route: {{cluster: more}}}}]}}]}}, \
         http_filters: [{{name: router, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]\
         }}}}]}}]}}]}}",
        sandbox.file("more.sock").display()
    );
    let proxy = sandbox.start(&["--config-yaml", &more]);
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(proxy.request(10000, request).status, 200);
    let stream = std::os::unix::net::UnixStream::connect(proxy.sandbox.file("more.sock")).unwrap();
    let response = support::client::exchange(stream, request).unwrap();
    assert_eq!(
        (response.status, &*response.body),
        (503, "no healthy upstream")
    );
}

#[test]
fn the_admin_address_is_written_to_a_file() {
    let sandbox = Sandbox::of_example("quickstart.yaml");
    let file = sandbox.file("admin-address");
    let path = file.to_str().unwrap().to_owned();
    let proxy = sandbox.start(&["--admin-address-path", &path]);
    let address = wait_for_text(&file, ":");
    let port = proxy.sandbox.ports.of(9901);
    assert_eq!(address, format!("127.0.0.1:{port}"));
    let ready = proxy.admin("/ready");
    assert_eq!((ready.status, &*ready.body), (200, "LIVE\n"));
}

/// As in Envoy, a file that cannot be written is no reason not to serve.
#[test]
fn without_a_file_for_the_admin_address_it_serves() {
    let sandbox = Sandbox::of_example("quickstart.yaml");
    let path = sandbox.file("nowhere/admin-address");
    let proxy = sandbox.start(&["--admin-address-path", path.to_str().unwrap()]);
    assert_eq!(proxy.admin("/ready").status, 200);
    assert!(
        proxy
            .log()
            .contains("cannot open admin address output file")
    );
}

/// Bootstraps of Envoy's documentation and tests that Envoy 1.40 refuses.
#[test]
fn what_envoy_refuses_is_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tests/corpus");
    let verdicts = fs::read_to_string(corpus.join("envoy-1.40.tsv")).unwrap();
    let refused = verdicts
        .lines()
        .filter_map(|line| line.strip_prefix("refused\t"));
    let mut count = 0;
    for name in refused.filter_map(|rest| rest.split('\t').next()) {
        let output = program()
            .arg("-c")
            .arg(corpus.join("bootstrap").join(name))
            .args(["--mode", "validate"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{name} is accepted");
        count += 1;
    }
    assert!(count > 0, "the collection is empty");
}

#[test]
fn a_bad_format_of_the_application_log_is_refused() {
    for (format, flags, expected) in [
        (
            "{json_format: {m: '%v'}}",
            &[][..],
            "%v cannot be used within JSON",
        ),
        (
            "{json_format: {m: '%_'}}",
            &[][..],
            "%_ cannot be used within JSON",
        ),
        (
            "{text_format: '%v'}",
            &["--log-format", "%v"][..],
            "--log-format is given, too",
        ),
    ] {
        let text = format!("application_log_config: {{log_format: {format}}}\n");
        let output = run(&Sandbox::of_text("format.yaml", &text), flags);
        assert_eq!(output.status.code(), Some(1));
        let stderr = stderr(&output);
        assert!(stderr.contains(expected), "{stderr}");
        assert!(
            stderr.contains("at: application_log_config.log_format"),
            "{stderr}"
        );
    }
}

#[test]
fn the_application_log_may_be_json() {
    let text = "application_log_config: {log_format: {json_format: {level: '%l', message: '%j', nested: {of: ['%n', 2]}}}}\n";
    let mut proxy = Sandbox::of_text("json.yaml", text).start(&[]);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    let log = proxy.log();
    let last = log.lines().last().unwrap();
    // As in Envoy, the order of the members is not defined.
    for member in [
        r#""level":"info""#,
        r#""message":"exiting""#,
        r#""nested":{"of":["main",2]}"#,
    ] {
        assert!(last.contains(member), "{last}");
    }
}
