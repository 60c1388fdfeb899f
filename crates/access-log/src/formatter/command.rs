//! Operators by name: which there are, what they take, which are refused.

mod build;
mod table;

use nuncio_config::ConfigError;

use self::build::header_operator;
use self::table::COMMANDS;
use super::Extensions;
use super::field::Field;
use super::operator::{Headers, Operator};
use super::parse::Command;

/// What follows an operator's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Argument,
    MaybeArgument,
    ArgumentAndLength,
    MaybeArgumentAndLength,
}

impl Takes {
    fn check(self, command: &Command<'_>) -> Result<(), ConfigError> {
        let Command {
            name,
            argument,
            length,
        } = command;
        let message = match self {
            Takes::Nothing if !argument.is_empty() || length.is_some() => {
                format!("{name} does not take any parameters or length")
            }
            Takes::Argument | Takes::ArgumentAndLength if argument.is_empty() => {
                format!("{name} requires parameters")
            }
            Takes::Argument | Takes::MaybeArgument if length.is_some() => {
                format!("{name} does not allow length to be specified.")
            }
            _ => return Ok(()),
        };
        Err(ConfigError::new("", message))
    }
}

/// How an operator is compiled.
#[derive(Clone, Copy)]
enum Build {
    Field(Field),
    With(Takes, fn(&Command<'_>) -> Result<Operator, ConfigError>),
    /// Envoy has it, but here its value would be wrong.
    Refused,
}

fn find(name: &str) -> Option<Build> {
    let index = COMMANDS
        .binary_search_by(|(known, _)| known.cmp(&name))
        .ok()?;
    Some(COMMANDS[index].1)
}

/// Whether there is an operator of this name.
pub(super) fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// Compiles one command of a format that knows these extensions.
pub(super) fn compile_with(
    command: &Command<'_>,
    extensions: Extensions,
) -> Result<Operator, ConfigError> {
    if extensions.req_without_query && command.name == "REQ_WITHOUT_QUERY" {
        let header = header_operator(command.argument, Headers::Request, length_of(command), true);
        return header.map(Operator::Header);
    }
    compile(command)
}

/// Compiles one built-in command.
pub(super) fn compile(command: &Command<'_>) -> Result<Operator, ConfigError> {
    match find(command.name) {
        Some(Build::Field(field)) => {
            Takes::Nothing.check(command)?;
            Ok(Operator::Field(field))
        }
        Some(Build::With(takes, build)) => {
            takes.check(command)?;
            build(command)
        }
        Some(Build::Refused) => Err(unsupported(&format!("%{}%", command.name))),
        None => Err(unknown(command.name)),
    }
}

fn unsupported(what: &str) -> ConfigError {
    ConfigError::new(
        "",
        format!("unsupported: the operator {what} is not implemented yet"),
    )
}

fn unknown(name: &str) -> ConfigError {
    let error = ConfigError::new("", format!("Not supported field in StreamInfo: {name}"));
    let nearest = COMMANDS
        .iter()
        .map(|(known, _)| (distance(known, name), *known))
        .min();
    match nearest {
        Some((distance, known)) if distance <= 3 && distance < name.len() => {
            error.with_remedy(format!("did you mean {known}?"))
        }
        _ => error,
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn length_of(command: &Command<'_>) -> usize {
    command.length.unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(COMMANDS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn typing_errors_get_a_suggestion() {
        assert_eq!(
            unknown("RESPONSE_CODES").remedy.as_deref(),
            Some("did you mean RESPONSE_CODE?")
        );
        assert_eq!(unknown("FOO").remedy, None);
    }
}
