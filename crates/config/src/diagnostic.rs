//! [`Diagnostic`]: an error with its place, printed the way rustc prints them.

use std::fmt;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    /// Nothing starts.
    #[default]
    Error,
    /// Something deprecated is used, or an unknown field was allowed.
    Warning,
}

/// One thing that is wrong (or, as a warning, deprecated) in a configuration, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it keeps the program from starting.
    pub severity: Severity,
    /// The file's name as it was given, or `--config-yaml`.
    pub file: String,
    /// 1-based; 0 when the place is not known (a binary protobuf has no lines).
    pub line: u32,
    /// 1-based, in characters; 0 when not known.
    pub column: u32,
    /// Proto path, e.g. `static_resources.listeners[0].filter_chains[0]`; empty at the root.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would have been right there.
    pub expected: Option<String>,
    /// The nearest valid name, or a remedy.
    pub suggestion: Option<String>,
    /// The text of the line, shown with a caret.
    pub source_line: Option<String>,
}

impl fmt::Display for Diagnostic {
    /// Several lines, no trailing line feed:
    ///
    /// ```text
    /// error: unknown field "conect_timeout" in envoy.config.cluster.v3.Cluster
    ///   --> envoy.yaml:7:5
    ///    |
    ///  7 |     conect_timeout: 1s
    ///    |     ^
    ///    = at: static_resources.clusters[0]
    ///    = help: did you mean "connect_timeout"?
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.message)?;
        let width = self.line.checked_ilog10().unwrap_or(0) as usize + 1;
        let pad = " ".repeat(width);
        if self.line == 0 {
            write!(f, "\n{pad}--> {}", self.file)?;
        } else {
            write!(f, "\n{pad}--> {}:{}:{}", self.file, self.line, self.column)?;
            if let Some(text) = &self.source_line {
                let (text, caret) = excerpt(text, self.column as usize);
                write!(
                    f,
                    "\n{pad} |\n{} | {text}\n{pad} | {:caret$}^",
                    self.line, ""
                )?;
            }
        }
        if !self.path.is_empty() {
            write!(f, "\n{pad} = at: {}", self.path)?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n{pad} = expected: {expected}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\n{pad} = help: {suggestion}")?;
        }
        Ok(())
    }
}

/// The part of a long line around `column` (1-based), and how far to indent the caret. A JSON file may be a
/// single line of megabytes.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    const BEFORE: usize = 60;
    const WIDTH: usize = 100;
    let at = column.saturating_sub(1);
    let skip = if at > WIDTH { at - BEFORE } else { 0 };
    // One character per column, so that the caret stays under its place: tabs become blanks.
    let text: String = line
        .chars()
        .skip(skip)
        .take(WIDTH + 1)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    (text, at - skip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_like_rustc() {
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            file: "envoy.yaml".into(),
            line: 12,
            column: 5,
            path: "static_resources.clusters[0]".into(),
            message: "unknown field \"conect_timeout\"".into(),
            expected: None,
            suggestion: Some("did you mean \"connect_timeout\"?".into()),
            source_line: Some("    conect_timeout: 1s".into()),
        };
        let expected = "error: unknown field \"conect_timeout\"
  --> envoy.yaml:12:5
   |
12 |     conect_timeout: 1s
   |     ^
   = at: static_resources.clusters[0]
   = help: did you mean \"connect_timeout\"?";
        assert_eq!(diagnostic.to_string(), expected);
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let line = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let (text, caret) = excerpt(&line, 5001);
        assert_eq!(text.as_bytes()[caret], b'X');
        assert!(text.len() <= 101);
    }
}
