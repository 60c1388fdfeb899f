//! URI templates: `envoy.path.match.uri_template` and `envoy.path.rewrite.uri_template`.
//!
//! A template becomes a regex, exactly as in Envoy: what a `*` inside of a literal does (it repeats what precedes it)
//! can be explained in no other way. Messages are Envoy's.

/// Most variables of one template.
const MAX_VARIABLES: usize = 5;
/// Most bytes of a variable's name.
const MAX_NAME: usize = 16;

/// A template for matching.
#[derive(Debug)]
pub(crate) struct Template {
    /// Must match the whole path.
    pub(crate) regex: String,
    /// Its groups, in order, from number 1 on.
    variables: Vec<String>,
}

/// A part of a template between two slashes.
enum Segment<'t> {
    /// Matches itself. Empty behind a final slash.
    Literal(&'t str),
    Glob(Glob),
    /// A variable, with what stands in front of it and behind it.
    Variable(&'t str, Variable<'t>, &'t str),
}

#[derive(Clone, Copy, PartialEq)]
enum Glob {
    /// `*`: one or more characters, no slash.
    Path,
    /// `**`: any number of characters.
    Text,
}

struct Variable<'t> {
    name: &'t str,
    /// Empty: a [`Glob::Path`].
    parts: Vec<Part<'t>>,
}

enum Part<'t> {
    Literal(&'t str),
    Glob(Glob),
}

impl Template {
    /// Parses `UriTemplateMatchConfig.path_template`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Template, String> {
        let Some(mut rest) = text.strip_prefix('/') else {
            return Err(format!("Invalid pattern: \"{text}\""));
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("Invalid pattern: \"{text}\""));
        }
        let mut segments = Vec::new();
        let mut suffix = "";
        while !rest.is_empty() {
            let segment;
            (segment, rest) = parse_segment(rest)?;
            segments.push(segment);
            if rest == "/" {
                segments.push(Segment::Literal(""));
                break;
            }
            match rest.strip_prefix('/') {
                Some(next) => rest = next,
                None if rest.is_empty() => {}
                None => {
                    (suffix, rest) = parse_literal(rest)?;
                    if !rest.is_empty() {
                        return Err("Prefix match not supported.".into());
                    }
                }
            }
        }
        let variables = variables(&segments)?;
        check_globs(&segments)?;
        let mut regex = String::new();
        if segments.is_empty() {
            regex.push('/');
        }
        for segment in &segments {
            regex.push('/');
            segment.write(&mut regex);
        }
        write_literal(suffix, &mut regex);
        Ok(Template { regex, variables })
    }

    /// Parses `UriTemplateRewriteConfig.path_template_rewrite` to the substitution of a match of this template;
    /// `Ok(None)` when it has a variable that this template has not.
    ///
    /// # Errors
    /// When it is no template for rewriting.
    pub(crate) fn substitution(&self, rewrite: &str) -> Result<Option<String>, ()> {
        if !rewrite.starts_with('/') || rewrite.contains("//") {
            return Err(());
        }
        let mut substitution = String::with_capacity(rewrite.len());
        let mut known = true;
        let mut rest = rewrite;
        while !rest.is_empty() {
            let (literal, variable) = match rest.split_once('{') {
                None => (rest, None),
                Some((literal, rest)) => (literal, Some(rest.split_once('}').ok_or(())?)),
            };
            if !literal.bytes().all(|byte| is_literal(byte) || byte == b'/') {
                return Err(());
            }
            substitution.push_str(literal);
            let Some((name, next)) = variable else { break };
            if !is_name(name) {
                return Err(());
            }
            match self.variables.iter().position(|known| known == name) {
                Some(index) => substitution.push_str(&format!("\\{}", index + 1)),
                None => known = false,
            }
            rest = next;
        }
        Ok(known.then_some(substitution))
    }
}

/// The first segment and what follows it.
fn parse_segment(text: &str) -> Result<(Segment<'_>, &str), String> {
    if let Some((glob, rest)) = parse_glob(text) {
        return Ok((Segment::Glob(glob), rest));
    }
    let (segment, behind) = text.split_at(text.find('/').unwrap_or(text.len()));
    // In front of a variable stands a literal, or nothing. Only in the latter case may the variable have slashes.
    let (prefix, text, behind) = match segment.split_once('{') {
        Some(("", _)) => ("", text, ""),
        Some((prefix, rest)) if rest.contains('}') => (prefix, &segment[prefix.len()..], behind),
        _ => {
            let (literal, rest) = parse_literal(text)?;
            return Ok((Segment::Literal(literal), rest));
        }
    };
    if !prefix.is_empty() && !prefix.bytes().all(is_literal) {
        return Err(format!("Invalid prefix literal: \"{prefix}\""));
    }
    let Some((inner, rest)) = text[1..].split_once('}') else {
        return Err(format!(
            "Unmatched variable bracket in mixed pattern: \"{text}\""
        ));
    };
    let variable = parse_variable(inner)?;
    let (suffix, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !suffix.bytes().all(is_literal) {
        return Err(format!("Invalid suffix literal: \"{suffix}\""));
    }
    let rest = if rest.is_empty() { behind } else { rest };
    Ok((Segment::Variable(prefix, variable, suffix), rest))
}

/// What stands in the braces of a variable.
fn parse_variable(text: &str) -> Result<Variable<'_>, String> {
    let (name, pattern) = match text.split_once('=') {
        None => (text, None),
        Some((name, pattern)) => (name, Some(pattern)),
    };
    if !is_name(name) {
        return Err(format!("Invalid variable name: \"{name}\""));
    }
    let mut parts = Vec::new();
    let Some(mut rest) = pattern else {
        return Ok(Variable { name, parts });
    };
    if rest.is_empty() {
        return Err("Empty variable match".into());
    }
    while !rest.is_empty() {
        match parse_glob(rest) {
            Some((glob, next)) => {
                parts.push(Part::Glob(glob));
                rest = next;
            }
            None => {
                let (literal, next) = parse_literal(rest)?;
                parts.push(Part::Literal(literal));
                rest = next;
            }
        }
        if !rest.is_empty() {
            rest = match rest.strip_prefix('/') {
                Some(next) if !next.is_empty() => next,
                _ => return Err(format!("Invalid variable match: \"{rest}\"")),
            };
        }
    }
    Ok(Variable { name, parts })
}

fn parse_glob(text: &str) -> Option<(Glob, &str)> {
    if let Some(rest) = text.strip_prefix("**") {
        return Some((Glob::Text, rest));
    }
    Some((Glob::Path, text.strip_prefix('*')?))
}

/// The literal up to the next slash, and what follows.
fn parse_literal(text: &str) -> Result<(&str, &str), String> {
    let (literal, rest) = text.split_at(text.find('/').unwrap_or(text.len()));
    if literal.is_empty() || !literal.bytes().all(is_literal) {
        return Err(format!("Invalid literal: \"{literal}\""));
    }
    Ok((literal, rest))
}

/// RFC 3986 `pchar`, without looking at what follows a `%`.
fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=*".contains(&byte)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The names of all variables.
fn variables(segments: &[Segment<'_>]) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for segment in segments {
        let Segment::Variable(_, Variable { name, .. }, _) = segment else {
            continue;
        };
        if names.len() >= MAX_VARIABLES {
            return Err(format!("Exceeded variable count limit ({MAX_VARIABLES})"));
        }
        if name.len() > MAX_NAME {
            return Err(format!(
                "Invalid variable name length (length of \"{name}\" should be at least 1 and no more than {MAX_NAME})"
            ));
        }
        if names.iter().any(|known| known == name) {
            return Err(format!("Repeated variable name: \"{name}\""));
        }
        names.push((*name).to_owned());
    }
    Ok(names)
}

/// Nothing but literals may follow a `**`.
fn check_globs(segments: &[Segment<'_>]) -> Result<(), String> {
    let mut behind_text = false;
    let mut see = |glob: Glob, message: &str| {
        if behind_text {
            return Err(message.to_owned());
        }
        behind_text = glob == Glob::Text;
        Ok(())
    };
    for segment in segments {
        match segment {
            Segment::Literal(_) => {}
            Segment::Glob(glob) => see(*glob, "Glob after text glob.")?,
            Segment::Variable(_, Variable { parts, .. }, _) if parts.is_empty() => {
                see(Glob::Path, "Implicit variable path glob after text glob.")?;
            }
            Segment::Variable(_, Variable { parts, .. }, _) => {
                for part in parts {
                    if let Part::Glob(glob) = part {
                        see(*glob, "Glob after text glob.")?;
                    }
                }
            }
        }
    }
    Ok(())
}

impl Segment<'_> {
    fn write(&self, regex: &mut String) {
        match self {
            Segment::Literal(literal) => write_literal(literal, regex),
            Segment::Glob(glob) => glob.write(regex),
            Segment::Variable(prefix, Variable { name, parts }, suffix) => {
                write_literal(prefix, regex);
                regex.push_str(&format!("(?P<{name}>"));
                if parts.is_empty() {
                    Glob::Path.write(regex);
                }
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        regex.push('/');
                    }
                    match part {
                        Part::Literal(literal) => write_literal(literal, regex),
                        Part::Glob(glob) => glob.write(regex),
                    }
                }
                regex.push(')');
                write_literal(suffix, regex);
            }
        }
    }
}

impl Glob {
    fn write(self, regex: &mut String) {
        regex.push_str(match self {
            Glob::Path => r"[a-zA-Z0-9._~%!$&'()+,;:@=*\-]+",
            Glob::Text => r"[a-zA-Z0-9._~%!$&'()+,;:@=*\-/]*",
        });
    }
}

/// As in Envoy, an asterisk keeps its meaning in regexes.
fn write_literal(literal: &str, regex: &mut String) {
    for character in literal.chars() {
        if matches!(character, '$' | '(' | ')' | '+' | '.') {
            regex.push('\\');
        }
        regex.push(character);
    }
}

#[cfg(test)]
mod tests;
