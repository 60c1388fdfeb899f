//! `Bootstrap.application_log_config`: the format of the application log.

use nuncio_app_log::Pattern;
use nuncio_config::api::bootstrap::bootstrap::ApplicationLogConfig;
use nuncio_config::api::bootstrap::bootstrap::application_log_config::log_format::LogFormat;
use nuncio_config::json::{self, Style};
use nuncio_config::{ConfigError, Within};

/// Where the format is in the bootstrap.
const PATH: &str = "application_log_config.log_format";

/// Compiles the format; `None` when the bootstrap says nothing about it.
///
/// # Errors
/// When the command line gives one too, and for flags that would not be valid within JSON.
pub(crate) fn log_format(
    config: Option<&ApplicationLogConfig>,
    flag: Option<&str>,
) -> Result<Option<Pattern>, ConfigError> {
    let Some(format) = config.and_then(|config| config.log_format.as_ref()) else {
        return Ok(None);
    };
    if flag.is_some() {
        return Err(ConfigError::new(
            PATH,
            "--log-format is given, too; only one of them can say what the application log looks like",
        ));
    }
    match &format.log_format {
        None => Ok(None),
        Some(LogFormat::TextFormat(text)) => Ok(Some(Pattern::new(text))),
        Some(LogFormat::JsonFormat(fields)) => {
            let pattern = json::print_message(fields, Style::default());
            // The message as it is could end the string that it stands in.
            match ["%v", "%_"].into_iter().find(|flag| pattern.contains(flag)) {
                Some(flag) => Err(ConfigError::new(
                    "json_format",
                    format!(
                        "{flag} cannot be used within JSON; use %j, the message with JSON's escapes"
                    ),
                ))
                .within(PATH),
                None => Ok(Some(Pattern::new(&pattern))),
            }
        }
    }
}
