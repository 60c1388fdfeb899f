use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nuncio_config::api::access_log::{
    AccessLog, AccessLogFilter, ResponseFlagFilter, access_log::ConfigType,
    access_log_filter::FilterSpecifier,
};
use nuncio_config::api::core::{
    DataSource, SubstitutionFormatString, data_source, substitution_format_string,
};
use nuncio_config::api::file_access_log::{FileAccessLog, file_access_log::AccessLogFormat};
use nuncio_config::{ConfigError, any};
use nuncio_sdk::{AccessLogger, FactoryContext, ResponseFlags, ServerContext};

use super::{AccessLogManager, Destination, FilesystemStats, FlushOptions};
use crate::create_loggers;
use crate::testing::{Stream, server};

fn config(path: &Path, format: &str) -> AccessLog {
    let specifier = data_source::Specifier::InlineString(format.into());
    let source = DataSource {
        specifier: Some(specifier),
        ..DataSource::default()
    };
    let format = SubstitutionFormatString {
        format: Some(substitution_format_string::Format::TextFormatSource(source)),
        ..SubstitutionFormatString::default()
    };
    let file = FileAccessLog {
        path: path.to_str().unwrap().into(),
        access_log_format: Some(AccessLogFormat::LogFormat(format)),
    };
    AccessLog {
        name: "envoy.access_loggers.file".into(),
        filter: None,
        config_type: Some(ConfigType::TypedConfig(any::pack(&file))),
    }
}

fn make(
    server: &Arc<ServerContext>,
    configs: &[AccessLog],
) -> Result<Vec<Arc<dyn AccessLogger>>, Vec<ConfigError>> {
    create_loggers(
        configs,
        &FactoryContext {
            server,
            stat_prefix: "",
            name: "",
        },
    )
}

/// Buffers are written only when a test asks.
fn on_demand() -> FlushOptions {
    FlushOptions {
        interval: Duration::from_secs(3_600),
        ..FlushOptions::default()
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn counter(manager: &AccessLogManager, slot: nuncio_stats::CounterSlot) -> u64 {
    manager.shared.stats.counter(slot)
}

#[test]
fn lines_are_buffered_until_they_are_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (server, manager) = server(on_demand());
    let loggers = make(&server, &[config(&path, "%RESPONSE_CODE%\n")])
        .map_err(|_| ())
        .unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o133, 0);
    loggers[0].log(&Stream::proxied().cx());
    loggers[0].log(&Stream::new().cx());
    assert_eq!(read(&path), "");
    assert_eq!(counter(&manager, FilesystemStats::WRITE_BUFFERED), 2);
    assert_eq!(
        manager
            .shared
            .stats
            .gauge(FilesystemStats::WRITE_TOTAL_BUFFERED),
        6
    );
    manager.flush();
    assert_eq!(read(&path), "200\n0\n");
    assert_eq!(counter(&manager, FilesystemStats::WRITE_COMPLETED), 1);
    assert_eq!(counter(&manager, FilesystemStats::FLUSHED_BY_TIMER), 0);
    assert_eq!(
        manager
            .shared
            .stats
            .gauge(FilesystemStats::WRITE_TOTAL_BUFFERED),
        0
    );
}

#[test]
fn loggers_share_a_file_and_append_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::write(&path, "old\n").unwrap();
    let (server, manager) = server(on_demand());
    let mut second = config(&path, "2 %RESPONSE_FLAGS%\n");
    second.filter = Some(AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
            flags: vec![],
        })),
    });
    let loggers = make(&server, &[config(&path, "1\n"), second])
        .map_err(|_| ())
        .unwrap();
    let mut stream = Stream::new();
    for flags in [ResponseFlags::NONE, ResponseFlags::NO_ROUTE_FOUND] {
        stream.info.flags = flags;
        for logger in &loggers {
            logger.log(&stream.cx());
        }
    }
    assert_eq!(manager.shared.state().files.len(), 1);
    manager.shutdown();
    assert_eq!(read(&path), "old\n1\n1\n2 NR\n");
}

#[test]
fn threads_write_whole_lines_in_their_order() {
    const LINES: usize = 2_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    // Small buffers, so that the writer takes them away all the time.
    let (server, manager) = server(FlushOptions {
        min_size: 100,
        ..on_demand()
    });
    let file = manager.open(&Destination::File(path.clone())).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let file = &file;
            scope.spawn(move || {
                for line in 0..LINES {
                    file.write_with(|out| {
                        out.extend_from_slice(format!("{thread} {line}\n").as_bytes())
                    });
                }
            });
        }
    });
    manager.flush();
    let mut next = [0; 3];
    for line in read(&path).lines() {
        let (thread, number) = line.split_once(' ').unwrap();
        let next = &mut next[thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse::<usize>().unwrap(), *next);
        *next += 1;
    }
    assert_eq!(next, [LINES; 3]);
    drop(server);
}

#[test]
fn a_large_buffer_is_written_without_being_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (_server, manager) = server(FlushOptions {
        min_size: 64,
        ..on_demand()
    });
    let file = manager.open(&Destination::File(path.clone())).unwrap();
    file.write_with(|out| out.extend_from_slice(&[b'a'; 63]));
    file.write_with(|out| out.extend_from_slice(&[b'b'; 10]));
    while read(&path).len() < 73 {
        std::thread::yield_now();
    }
}

#[test]
fn the_timer_writes_small_buffers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (_server, manager) = server(FlushOptions {
        interval: Duration::from_millis(1),
        ..FlushOptions::default()
    });
    let file = manager.open(&Destination::File(path.clone())).unwrap();
    file.write_with(|out| out.extend_from_slice(b"x\n"));
    while read(&path).is_empty() {
        std::thread::yield_now();
    }
    assert!(counter(&manager, FilesystemStats::FLUSHED_BY_TIMER) > 0);
}

#[test]
fn reopening_follows_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
    let (_server, manager) = server(on_demand());
    let file = manager.open(&Destination::File(path.clone())).unwrap();
    file.write_with(|out| out.extend_from_slice(b"before\n"));
    fs::rename(&path, &moved).unwrap();
    manager.reopen();
    manager.flush();
    file.write_with(|out| out.extend_from_slice(b"after\n"));
    manager.flush();
    assert_eq!(
        (read(&moved), read(&path)),
        ("before\n".into(), "after\n".into())
    );
    // A name that cannot be opened: the old file stays.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    manager.reopen();
    manager.flush();
    assert_eq!(counter(&manager, FilesystemStats::REOPEN_FAILED), 1);
    file.write_with(|out| out.extend_from_slice(b"lost with its file\n"));
    manager.flush();
    assert_eq!(counter(&manager, FilesystemStats::WRITE_FAILED), 0);
}

#[test]
fn a_file_without_loggers_is_written_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (_server, manager) = server(on_demand());
    let file = manager.open(&Destination::File(path.clone())).unwrap();
    file.write_with(|out| out.extend_from_slice(b"last\n"));
    drop(file);
    manager.flush();
    assert_eq!(read(&path), "last\n");
    assert!(manager.shared.state().files.is_empty());
}

#[test]
fn a_stuck_writer_costs_lines_not_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (_server, manager) = server(FlushOptions {
        min_size: 100,
        limit: 1_000,
        ..on_demand()
    });
    let file = manager.open(&Destination::File(path.clone())).unwrap();
    let held = file.hold_output();
    for _ in 0..1_000 {
        file.write_with(|out| out.extend_from_slice(&[b'y'; 50]));
    }
    let failed = counter(&manager, FilesystemStats::WRITE_FAILED);
    // At most one full buffer is in the writer's hands, and one waits.
    assert!(failed >= 1_000 - 2 * 20, "{failed}");
    drop(held);
    manager.flush();
    let kept = read(&path).len() as u64;
    assert_eq!(kept, (1_000 - failed) * 50);
}

#[test]
fn a_file_that_cannot_be_opened_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _manager) = server(on_demand());
    let errors = make(
        &server,
        &[
            config(&dir.path().join("log"), ""),
            config(Path::new("/nonexistent/x/y"), ""),
            config(&dir.path().join("log"), "%FOO%"),
            AccessLog {
                name: "s".into(),
                ..AccessLog::default()
            },
        ],
    );
    let errors: Vec<_> = errors
        .err()
        .unwrap()
        .into_iter()
        .map(|error| (error.path, error.message))
        .collect();
    assert_eq!(
        errors,
        [
            (
                "[1].typed_config.path".to_owned(),
                "unable to open file '/nonexistent/x/y': No such file or directory".to_owned()
            ),
            (
                "[2].typed_config.log_format.text_format_source".to_owned(),
                "Not supported field in StreamInfo: FOO".to_owned()
            ),
            (
                "[3].typed_config".to_owned(),
                "Didn't find a registered implementation for 's' with type URL: ''".to_owned()
            ),
        ]
    );
}
