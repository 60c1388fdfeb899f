//! `envoy.config.core.v3.SubstitutionFormatString`

use nuncio_config::api::core::{
    JsonFormatOptions, SubstitutionFormatString, TypedExtensionConfig, substitution_format_string,
};
use nuncio_config::{ConfigError, Within, any, convert};

use crate::Formatter;
use crate::formatter::Extensions;

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
        let mut extensions = Extensions::default();
        for (index, formatter) in formatters.iter().enumerate() {
            add_extension(formatter, &mut extensions).within_index("formatters", index)?;
        }
        if let Some(options) = json_format_options {
            accept_json_options(options);
        }
        let json = matches!(
            format,
            Some(substitution_format_string::Format::JsonFormat(_))
        );
        let formatter = compile(format.as_ref(), *omit_empty_values, extensions)?;
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
    extensions: Extensions,
) -> Result<Formatter, ConfigError> {
    use substitution_format_string::Format::{JsonFormat, TextFormat, TextFormatSource};
    match format {
        None => Err(ConfigError::new(
            "",
            "SubstitutionFormatString: a format is required",
        )),
        Some(TextFormat(text)) => {
            Formatter::text_with(text, omit_empty_values, extensions).within("text_format")
        }
        Some(JsonFormat(template)) => {
            Formatter::json_with(template, omit_empty_values, extensions).within("json_format")
        }
        Some(TextFormatSource(source)) => {
            let text = convert::data_source(source).and_then(|bytes| {
                String::from_utf8(bytes)
                    .map_err(|_| ConfigError::new("", "the format is not UTF-8"))
            });
            text.and_then(|text| Formatter::text_with(&text, omit_empty_values, extensions))
                .within("text_format_source")
        }
    }
}

/// `%METADATA%` is built in; extensions that are not known would bring operators that are not there.
fn add_extension(
    config: &TypedExtensionConfig,
    extensions: &mut Extensions,
) -> Result<(), ConfigError> {
    let TypedExtensionConfig { name, typed_config } = config;
    match typed_config.as_ref().map_or("", any::type_of) {
        "envoy.extensions.formatter.metadata.v3.Metadata" => Ok(()),
        "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery" => {
            extensions.req_without_query = true;
            Ok(())
        }
        kind => {
            let message = format!("unsupported: formatter extension '{name}' ({kind})");
            Err(ConfigError::new("typed_config", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncio_config::api::core::{DataSource, data_source};
    use nuncio_config::api::protobuf::{Any, Struct};

    use super::*;
    use crate::testing::Stream;

    fn inline(text: &str) -> SubstitutionFormatString {
        let specifier = data_source::Specifier::InlineString(text.into());
        let source = DataSource {
            specifier: Some(specifier),
            ..DataSource::default()
        };
        SubstitutionFormatString {
            format: Some(substitution_format_string::Format::TextFormatSource(source)),
            ..SubstitutionFormatString::default()
        }
    }

    fn extension(kind: &str) -> TypedExtensionConfig {
        let type_url = format!("type.googleapis.com/envoy.extensions.formatter.{kind}");
        TypedExtensionConfig {
            name: "f".into(),
            typed_config: Some(Any {
                type_url,
                value: Vec::new(),
            }),
        }
    }

    #[test]
    fn content_types() {
        assert_eq!(
            Format::new(&inline("x")).unwrap().content_type,
            "text/plain"
        );
        let html = SubstitutionFormatString {
            content_type: "text/html".into(),
            ..inline("x")
        };
        assert_eq!(Format::new(&html).unwrap().content_type, "text/html");
        let json = SubstitutionFormatString {
            format: Some(substitution_format_string::Format::JsonFormat(
                Struct::default(),
            )),
            ..SubstitutionFormatString::default()
        };
        assert_eq!(Format::new(&json).unwrap().content_type, "application/json");
        assert!(Format::new(&SubstitutionFormatString::default()).is_err());
    }

    #[test]
    fn an_extension_brings_its_operator() {
        let without = inline("%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH):9%");
        assert!(Format::new(&without).is_err());
        let formatters = vec![
            extension("req_without_query.v3.ReqWithoutQuery"),
            extension("metadata.v3.Metadata"),
        ];
        let with = SubstitutionFormatString {
            formatters,
            ..without.clone()
        };
        let mut out = Vec::new();
        Format::new(&with)
            .unwrap()
            .formatter
            .format(&Stream::proxied().cx(), &mut out);
        assert_eq!(out, b"/rw/p%20q");
        let cel = SubstitutionFormatString {
            formatters: vec![extension("cel.v3.Cel")],
            ..without
        };
        assert_eq!(
            Format::new(&cel).unwrap_err().path,
            "formatters[0].typed_config"
        );
    }
}
