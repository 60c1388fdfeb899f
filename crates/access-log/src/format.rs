//! `envoy.config.core.v3.SubstitutionFormatString`

use nuncio_config::api::core::{
    JsonFormatOptions, SubstitutionFormatString, TypedExtensionConfig, substitution_format_string,
};
use nuncio_config::{ConfigError, Within, any, convert};

use crate::Formatter;

/// A configured format: of an access log, a local reply or a direct response.
#[derive(Debug)]
pub struct Format {
    /// The compiled text or JSON.
    pub formatter: Formatter,
    /// `content_type` of the body that is made with it: what was configured, else `application/json` for JSON and
    /// `text/plain` for text. An access log has no use for it.
    pub content_type: String,
}

impl Format {
    /// Compiles a format.
    ///
    /// # Errors
    /// What [`Formatter`] refuses, a data source that cannot be read, text that is not UTF-8, and formatter
    /// extensions other than those whose operators are built in.
    pub fn new(config: &SubstitutionFormatString) -> Result<Format, ConfigError> {
        let SubstitutionFormatString {
            omit_empty_values,
            content_type,
            formatters,
            json_format_options,
            format,
        } = config;
        for (index, formatter) in formatters.iter().enumerate() {
            check_extension(formatter).within_index("formatters", index)?;
        }
        if let Some(options) = json_format_options {
            accept_json_options(options);
        }
        let json = matches!(
            format,
            Some(substitution_format_string::Format::JsonFormat(_))
        );
        let formatter = compile(format.as_ref(), *omit_empty_values)?;
        let content_type = match content_type.as_str() {
            "" if json => "application/json".to_owned(),
            "" => "text/plain".to_owned(),
            other => other.to_owned(),
        };
        Ok(Format {
            formatter,
            content_type,
        })
    }
}

/// Keys come out sorted whatever is asked, as in Envoy 1.40.
#[expect(deprecated, reason = "named so that a new field breaks the build")]
fn accept_json_options(options: &JsonFormatOptions) {
    let JsonFormatOptions { sort_properties: _ } = options;
}

#[expect(deprecated, reason = "text_format is deprecated and still in wide use")]
fn compile(
    format: Option<&substitution_format_string::Format>,
    omit_empty_values: bool,
) -> Result<Formatter, ConfigError> {
    use substitution_format_string::Format::{JsonFormat, TextFormat, TextFormatSource};
    match format {
        None => Err(ConfigError::new(
            "",
            "SubstitutionFormatString: a format is required",
        )),
        Some(TextFormat(text)) => Formatter::text(text, omit_empty_values).within("text_format"),
        Some(JsonFormat(template)) => {
            Formatter::json(template, omit_empty_values).within("json_format")
        }
        Some(TextFormatSource(source)) => {
            let text = convert::data_source(source).and_then(|bytes| {
                String::from_utf8(bytes)
                    .map_err(|_| ConfigError::new("", "the format is not UTF-8"))
            });
            text.and_then(|text| Formatter::text(&text, omit_empty_values))
                .within("text_format_source")
        }
    }
}

/// `%METADATA%` is built in; other extensions would bring operators that are not there.
fn check_extension(extension: &TypedExtensionConfig) -> Result<(), ConfigError> {
    let TypedExtensionConfig { name, typed_config } = extension;
    let kind = typed_config.as_ref().map_or("", any::type_of);
    if kind == "envoy.extensions.formatter.metadata.v3.Metadata" {
        return Ok(());
    }
    Err(ConfigError::new(
        "typed_config",
        format!("unsupported: formatter extension {name:?} ({kind})"),
    ))
}
