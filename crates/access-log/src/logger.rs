//! Loggers that write lines to files, and the list of loggers of a configuration.

use std::sync::Arc;

use nuncio_config::api::access_log::AccessLog;
use nuncio_config::api::access_log::access_log::ConfigType;
use nuncio_config::api::file_access_log::{FileAccessLog, file_access_log::AccessLogFormat};
use nuncio_config::api::protobuf::Any;
use nuncio_config::api::stream_access_log::{
    StderrAccessLog, StdoutAccessLog, stderr_access_log, stdout_access_log,
};
use nuncio_config::{ConfigError, Within, any};
use nuncio_sdk::{AccessLogFactory, AccessLogger, FactoryContext, LogContext};

use crate::file::LogFile;
use crate::filter::Filter;
use crate::manager::{AccessLogManager, Destination};
use crate::{DEFAULT_FORMAT, Format, Formatter};

/// Writes each entry as one line.
#[derive(Debug)]
struct LineLogger {
    formatter: Formatter,
    file: Arc<LogFile>,
}

impl AccessLogger for LineLogger {
    fn log(&self, cx: &LogContext<'_>) {
        self.file
            .write_with(|buffer| self.formatter.format(cx, buffer));
    }
}

/// Lets through what its filter passes.
struct Filtered {
    filter: Filter,
    logger: Arc<dyn AccessLogger>,
}

impl AccessLogger for Filtered {
    fn log(&self, cx: &LogContext<'_>) {
        if self.filter.passes(cx) {
            self.logger.log(cx);
        }
    }
}

/// Makes the loggers of an `access_log` list, each with its filter.
///
/// # Errors
/// Every error of the list, with a path that begins with the index (`[2].typed_config.path`).
pub fn create_loggers(
    configs: &[AccessLog],
    cx: &FactoryContext<'_>,
) -> Result<Vec<Arc<dyn AccessLogger>>, Vec<ConfigError>> {
    let mut loggers = Vec::with_capacity(configs.len());
    let mut errors = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        match create_logger(config, cx) {
            Ok(logger) => loggers.push(logger),
            Err(error) => errors.push(error.within(format_args!("[{index}]"))),
        }
    }
    if errors.is_empty() {
        Ok(loggers)
    } else {
        Err(errors)
    }
}

fn create_logger(
    config: &AccessLog,
    cx: &FactoryContext<'_>,
) -> Result<Arc<dyn AccessLogger>, ConfigError> {
    let AccessLog {
        name,
        filter,
        config_type,
    } = config;
    let typed_config = config_type.as_ref().map(|ConfigType::TypedConfig(any)| any);
    let kind = typed_config.map_or("", |any| any.type_url.as_str());
    let factory = cx.server.extensions.access_logger(kind).ok_or_else(|| {
        let kind = any::type_name(kind);
        let message =
            format!("Didn't find a registered implementation for '{name}' with type URL: '{kind}'");
        ConfigError::new("typed_config", message)
    })?;
    let filter = filter
        .as_ref()
        .map(|filter| Filter::new(filter, cx))
        .transpose()
        .within("filter")?;
    let empty = Any::default();
    let logger = factory
        .create(typed_config.unwrap_or(&empty), &cx.named(name))
        .within("typed_config")?;
    Ok(match filter {
        Some(filter) => Arc::new(Filtered { filter, logger }),
        None => logger,
    })
}

/// Makes a logger of lines; no format means Envoy's default.
fn line_logger(
    destination: &Destination,
    formatter: Option<Formatter>,
    cx: &FactoryContext<'_>,
) -> Result<Arc<dyn AccessLogger>, ConfigError> {
    let formatter = match formatter {
        Some(formatter) => formatter,
        None => Formatter::text(DEFAULT_FORMAT, false)?,
    };
    let file = cx.server.service::<AccessLogManager>().open(destination)?;
    Ok(Arc::new(LineLogger { formatter, file }))
}

/// `envoy.access_loggers.file`
pub static FILE: FileFactory = FileFactory;
/// `envoy.access_loggers.stdout`
pub static STDOUT: StdoutFactory = StdoutFactory;
/// `envoy.access_loggers.stderr`
pub static STDERR: StderrFactory = StderrFactory;

/// The factory behind [`FILE`].
#[derive(Debug)]
pub struct FileFactory;

impl AccessLogFactory for FileFactory {
    fn name(&self) -> &'static str {
        "envoy.access_loggers.file"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.access_loggers.file.v3.FileAccessLog"]
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn AccessLogger>, ConfigError> {
        let FileAccessLog {
            path,
            access_log_format,
        } = any::unpack(config)?;
        let formatter = file_formatter(access_log_format.as_ref())?;
        line_logger(&Destination::File(path.into()), formatter, cx).within("path")
    }
}

#[expect(
    deprecated,
    reason = "the older formats are deprecated and still in wide use"
)]
fn file_formatter(format: Option<&AccessLogFormat>) -> Result<Option<Formatter>, ConfigError> {
    Ok(match format {
        None => None,
        // Of the four, only this one takes an empty text for the default.
        Some(AccessLogFormat::Format(text)) if text.is_empty() => None,
        Some(AccessLogFormat::Format(text)) => Some(Formatter::text(text, false).within("format")?),
        Some(AccessLogFormat::JsonFormat(template)) => {
            Some(Formatter::json(template, false).within("json_format")?)
        }
        Some(AccessLogFormat::TypedJsonFormat(template)) => {
            Some(Formatter::json(template, false).within("typed_json_format")?)
        }
        Some(AccessLogFormat::LogFormat(format)) => {
            Some(Format::new(format).within("log_format")?.formatter)
        }
    })
}

/// The factory behind [`STDOUT`].
#[derive(Debug)]
pub struct StdoutFactory;

impl AccessLogFactory for StdoutFactory {
    fn name(&self) -> &'static str {
        "envoy.access_loggers.stdout"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"]
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn AccessLogger>, ConfigError> {
        let StdoutAccessLog { access_log_format } = any::unpack(config)?;
        let formatter = match &access_log_format {
            None => None,
            Some(stdout_access_log::AccessLogFormat::LogFormat(format)) => {
                Some(Format::new(format).within("log_format")?.formatter)
            }
        };
        line_logger(&Destination::Stdout, formatter, cx)
    }
}

/// The factory behind [`STDERR`].
#[derive(Debug)]
pub struct StderrFactory;

impl AccessLogFactory for StderrFactory {
    fn name(&self) -> &'static str {
        "envoy.access_loggers.stderr"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.access_loggers.stream.v3.StderrAccessLog"]
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn AccessLogger>, ConfigError> {
        let StderrAccessLog { access_log_format } = any::unpack(config)?;
        let formatter = match &access_log_format {
            None => None,
            Some(stderr_access_log::AccessLogFormat::LogFormat(format)) => {
                Some(Format::new(format).within("log_format")?.formatter)
            }
        };
        line_logger(&Destination::Stderr, formatter, cx)
    }
}
