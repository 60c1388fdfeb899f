use super::*;
use std::fs;

fn file_log(options: Options) -> (tempfile::TempDir, PathBuf, AppLog) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let log = AppLog::new(Options {
        path: Some(path.clone()),
        ..options
    })
    .unwrap();
    (dir, path, log)
}

fn record(log: &AppLog, target: &str, level: log::Level, message: &str) {
    log.write(
        &Record::builder()
            .target(target)
            .level(level)
            .file(Some("src/x.rs"))
            .line(Some(7))
            .args(format_args!("{message}"))
            .build(),
    );
}

#[test]
fn each_component_has_its_level() {
    let format = "[%l][%n][%g:%#] %v".to_owned();
    let components = parse_component_levels("upstream:debug,http:off").unwrap();
    let (_dir, path, log) = file_log(Options {
        format,
        components,
        ..Options::default()
    });
    record(&log, "nuncio_upstream::manager", log::Level::Debug, "seen");
    record(&log, "nuncio_config", log::Level::Debug, "not seen");
    record(&log, "nuncio_http", log::Level::Error, "not seen");
    record(&log, "critical:main", log::Level::Error, "the end");
    log.set_all(Level::Warning);
    record(
        &log,
        "nuncio_upstream::manager",
        log::Level::Info,
        "not seen",
    );
    log.set_level(Component::parse("runtime").unwrap(), Level::Trace);
    record(&log, "runtime", log::Level::Trace, "seen too");
    assert_eq!(
        fs::read_to_string(path).unwrap(),
        "[debug][upstream][src/x.rs:7] seen\n[critical][main][src/x.rs:7] the end\n[trace][runtime][src/x.rs:7] seen too\n"
    );
}

#[test]
fn the_default_line_is_envoys() {
    let (_dir, path, log) = file_log(Options::default());
    record(&log, "nuncio_server", log::Level::Warn, "hello");
    let line = fs::read_to_string(path).unwrap();
    let (time, rest) = line.split_at("[2026-11-22 14:45:26.005]".len());
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "[0000-00-00 00:00:00.000]");
    let thread = rustix::thread::gettid().as_raw_nonzero();
    assert_eq!(
        rest,
        format!("[{thread}][warning][main] [src/x.rs:7] hello\n")
    );
}

#[test]
fn escaped_lines_are_one_line() {
    let (_dir, path, log) = file_log(Options {
        format: "%v".into(),
        escaped: true,
        ..Options::default()
    });
    record(&log, "main", log::Level::Info, "a\n\"b\"");
    assert_eq!(fs::read_to_string(path).unwrap(), "a\\n\\\"b\\\"\n");
}

#[test]
fn reopening_follows_the_name() {
    let (dir, path, log) = file_log(Options {
        format: "%v".into(),
        ..Options::default()
    });
    let moved = dir.path().join("log.1");
    record(&log, "main", log::Level::Info, "before");
    fs::rename(&path, &moved).unwrap();
    log.reopen().unwrap();
    record(&log, "main", log::Level::Info, "after");
    assert_eq!(fs::read_to_string(&moved).unwrap(), "before\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(log.reopen().is_err());
    record(&log, "main", log::Level::Info, "into the old file");
}

#[test]
fn the_list_is_envoys() {
    let (_dir, _path, log) = file_log(Options::default());
    let list = log.list();
    assert!(
        list.starts_with("active loggers:\n  a2a: info\n  admin: info\n"),
        "{list}"
    );
    assert!(list.ends_with("  ip_tagging: info\n\n"), "{list}");
    assert_eq!(list.lines().count(), Component::COUNT + 2);
}

#[test]
fn component_levels_are_read_as_envoy_does() {
    let error = |text| parse_component_levels(text).unwrap_err();
    assert_eq!(
        error("upstream"),
        "error: component log level not correctly specified 'upstream'"
    );
    assert_eq!(
        error("upstream:info,"),
        "error: component log level not correctly specified ''"
    );
    assert_eq!(
        error("a:b:c"),
        "error: component log level not correctly specified 'a:b:c'"
    );
    assert_eq!(
        error("foo:info"),
        "error: invalid component specified 'foo'"
    );
    assert_eq!(
        error("upstream:foo"),
        "error: invalid log level specified 'foo'"
    );
    assert_eq!(parse_component_levels(""), Ok(Vec::new()));
    let warn = (Component::parse("pool").unwrap(), Level::Warning);
    assert_eq!(parse_component_levels("pool:warn"), Ok(vec![warn]));
}

#[test]
fn a_file_that_cannot_be_opened_is_refused() {
    let options = Options {
        path: Some("/nonexistent/x".into()),
        ..Options::default()
    };
    assert_eq!(
        AppLog::new(options).unwrap_err().to_string(),
        "Failed to open log-file '/nonexistent/x'. e.what(): unable to open file '/nonexistent/x': \
         No such file or directory"
    );
}

#[test]
fn the_facade_passes_what_some_component_wants() {
    // The only test that touches the process's log.
    let log = install(Options {
        level: Level::Off,
        ..Options::default()
    })
    .unwrap();
    assert_eq!(log::max_level(), log::LevelFilter::Off);
    log.set_level(Component::parse("pool").unwrap(), Level::Debug);
    assert_eq!(log::max_level(), log::LevelFilter::Debug);
    assert!(log::log_enabled!(target: "pool", log::Level::Debug));
    assert!(!log::log_enabled!(target: "upstream", log::Level::Error));
    assert!(!log::log_enabled!(target: "pool", log::Level::Trace));
    log.set_all(Level::Critical);
    assert_eq!(log::max_level(), log::LevelFilter::Error);
    assert!(!log::log_enabled!(target: "main", log::Level::Error));
    assert!(log::log_enabled!(target: "critical:main", log::Level::Error));
    assert!(matches!(
        install(Options::default()),
        Err(InstallError::Twice)
    ));
}
