//! `%COALESCE({"operators": […]}):Z%`: the first operator that gives something.

use nuncio_config::ConfigError;
use nuncio_sdk::LogContext;
use serde_json::Value;

use super::command;
use super::operator::{Operator, Written};
use super::parse::Command;

/// Operators in order of preference.
#[derive(Debug)]
pub(super) struct Coalesce {
    operators: Box<[Operator]>,
    length: Option<usize>,
}

impl Coalesce {
    pub(super) fn parse(argument: &str, length: Option<usize>) -> Result<Coalesce, ConfigError> {
        let error = |message: String| ConfigError::new("", format!("COALESCE: {message}"));
        let json: Value = serde_json::from_str(argument).map_err(|e| {
            error(format!(
                "failed to parse JSON configuration: JSON supplied is not valid. {e}"
            ))
        })?;
        let entries = json
            .get("operators")
            .ok_or_else(|| error("JSON configuration must contain 'operators' array".into()))?
            .as_array()
            .ok_or_else(|| error("'operators' must be an array".into()))?;
        if entries.is_empty() {
            return Err(error("'operators' array must not be empty".into()));
        }
        let operators = entries.iter().enumerate().map(|(index, entry)| {
            compile_entry(entry).map_err(|e| {
                error(format!(
                    "failed to parse operator at index {index}: {}",
                    e.message
                ))
            })
        });
        Ok(Coalesce {
            operators: operators.collect::<Result<_, _>>()?,
            length,
        })
    }

    pub(super) fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>, typed: bool) -> Written {
        let start = out.len();
        for operator in &self.operators {
            let written = operator.write_as(cx, out, typed);
            if written == Written::Nothing || out.len() == start {
                continue;
            }
            if let Some(length) = self.length
                && (written == Written::Text || !typed)
            {
                out.truncate(start.saturating_add(length).min(out.len()));
            }
            return written;
        }
        Written::Nothing
    }
}

/// `"NAME"` or `{"command": "NAME", "param": "…", "max_length": 3}`
fn compile_entry(entry: &Value) -> Result<Operator, ConfigError> {
    let error = |message: &str| ConfigError::new("", message);
    let text = |field: &str| match entry.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(ConfigError::new(
            "",
            format!("'{field}' field must be a string"),
        )),
    };
    let command = match entry {
        Value::String(name) => Command {
            name,
            argument: "",
            length: None,
        },
        Value::Object(_) => {
            let name = text("command")?
                .ok_or_else(|| error("operator object must have 'command' field"))?;
            let length = match entry.get("max_length") {
                None => None,
                Some(length) => match length.as_i64() {
                    None => return Err(error("'max_length' field must be an integer")),
                    Some(length @ 1..) => Some(length as usize),
                    Some(_) => return Err(error("'max_length' must be a positive integer")),
                },
            };
            Command {
                name,
                argument: text("param")?.unwrap_or(""),
                length,
            }
        }
        _ => {
            return Err(error(
                "operator entry must be either a string (command name) or an object with 'command' field",
            ));
        }
    };
    if !command::is_known(command.name) {
        return Err(ConfigError::new(
            "",
            format!("unknown command: '{}'", command.name),
        ));
    }
    command::compile(&command)
}
