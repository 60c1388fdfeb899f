//! `--log-format`: spdlog patterns.

use std::io::Write;
use std::time::SystemTime;

use nuncio_strftime::{TimeFormat, Zone};

use crate::component::Component;
use crate::escape;
use crate::level::Level;

/// Envoy's format: `[2026-11-22 14:45:26.005][13765][info][main] [crates/server/src/lib.rs:989] message`.
pub const DEFAULT_PATTERN: &str = "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v";

/// The same without the component, which fine-grain logging does not ask for.
pub const FINE_GRAIN_PATTERN: &str = "[%Y-%m-%d %T.%e][%t][%l] [%g:%#] %v";

/// spdlog takes no wider fields.
const MAX_WIDTH: usize = 64;

/// One record, as a pattern sees it.
pub(crate) struct Line<'a> {
    pub(crate) time: SystemTime,
    pub(crate) level: Level,
    pub(crate) component: Component,
    pub(crate) thread: u32,
    pub(crate) file: &'a str,
    pub(crate) line: u32,
    pub(crate) module: &'a str,
    pub(crate) message: &'a str,
}

/// A compiled pattern.
///
/// It knows spdlog's flags and alignments (`%-8l`, `%8!l`, `%=8l`), and Envoy's `%_` (the message without line
/// feeds) and `%j` (the message as in a JSON string). `%!`, the function, shows the module; `%i`, `%u`, `%o` and
/// `%O`, the time since the line before, are not known and printed as they are, like every unknown flag.
#[derive(Debug)]
pub struct Pattern(Box<[Item]>);

#[derive(Debug)]
struct Item {
    kind: Kind,
    width: usize,
    align: Align,
    /// Cuts what is wider.
    cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
    Center,
}

#[derive(Debug)]
enum Kind {
    /// Literal text, and what the clock says: both are strftime's.
    Time(TimeFormat),
    Level,
    LevelLetter,
    Component,
    Thread,
    Process,
    File,
    FileName,
    FileLine,
    /// `%@`: file and line.
    Place,
    Module,
    Message,
    MessageWithoutLineFeeds,
    JsonMessage,
}

impl Pattern {
    /// Compiles a pattern. Nothing is refused: what is not known is printed as it is, as in Envoy.
    pub fn new(pattern: &str) -> Pattern {
        let mut compiler = Compiler::default();
        let mut rest = pattern;
        while let Some((literal, flagged)) = rest.split_once('%') {
            compiler.literal(literal);
            rest = compiler.flag(flagged);
        }
        compiler.literal(rest);
        compiler.end_time();
        Pattern(compiler.items.into())
    }

    /// Appends a line, without its end.
    pub(crate) fn write(&self, line: &Line<'_>, out: &mut Vec<u8>) {
        for item in &self.0 {
            let start = out.len();
            item.kind.write(line, out);
            if item.width > 0 {
                pad(item, start, out);
            }
        }
    }
}

#[derive(Default)]
struct Compiler {
    items: Vec<Item>,
    /// A strftime format that is still growing.
    time: String,
}

impl Compiler {
    fn literal(&mut self, text: &str) {
        self.time.push_str(&text.replace('%', "%%"));
    }

    fn end_time(&mut self) {
        if !self.time.is_empty() {
            let format = std::mem::take(&mut self.time);
            self.push_time(&format, 0, Align::Right, false);
        }
    }

    fn push_time(&mut self, format: &str, width: usize, align: Align, cut: bool) {
        // Only `%n` is refused, which is never put in.
        if let Ok(format) = TimeFormat::parse(format, Zone::Local) {
            self.items.push(Item {
                kind: Kind::Time(format),
                width,
                align,
                cut,
            });
        }
    }

    /// Compiles the flag at the start of `text`, behind its `%`, and returns what follows.
    fn flag<'a>(&mut self, text: &'a str) -> &'a str {
        let (align, rest) = match text.as_bytes().first() {
            Some(b'-') => (Align::Left, &text[1..]),
            Some(b'=') => (Align::Center, &text[1..]),
            _ => (Align::Right, text),
        };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let width = rest[..digits].parse().unwrap_or(0).min(MAX_WIDTH);
        let rest = &rest[digits..];
        let (cut, rest) = match rest.strip_prefix('!') {
            Some(rest) if digits > 0 => (true, rest),
            _ => (false, rest),
        };
        // A pattern that ends within a flag loses it.
        let Some(flag) = rest.chars().next() else {
            return rest;
        };
        let after = &rest[flag.len_utf8()..];
        if let Some(kind) = record_flag(flag) {
            self.end_time();
            self.items.push(Item {
                kind,
                width,
                align,
                cut,
            });
        } else if let Some(format) = time_flag(flag) {
            if width == 0 {
                self.time.push_str(format);
            } else {
                self.end_time();
                self.push_time(format, width, align, cut);
            }
        } else {
            self.literal("%");
            self.literal(&rest[..flag.len_utf8()]);
        }
        after
    }
}

/// Flags about the record.
fn record_flag(flag: char) -> Option<Kind> {
    Some(match flag {
        'l' => Kind::Level,
        'L' => Kind::LevelLetter,
        'n' => Kind::Component,
        't' => Kind::Thread,
        'P' => Kind::Process,
        'g' => Kind::File,
        's' => Kind::FileName,
        '#' => Kind::FileLine,
        '@' => Kind::Place,
        '!' => Kind::Module,
        'v' | '+' => Kind::Message,
        '_' => Kind::MessageWithoutLineFeeds,
        'j' => Kind::JsonMessage,
        _ => return None,
    })
}

/// Flags about the time, in strftime's terms; also those that show nothing.
fn time_flag(flag: char) -> Option<&'static str> {
    Some(match flag {
        'a' => "%a",
        'A' => "%A",
        'b' | 'h' => "%b",
        'B' => "%B",
        'c' => "%a %b %-d %T %Y",
        'C' => "%y",
        'd' => "%d",
        'D' | 'x' => "%m/%d/%y",
        'e' => "%3f",
        'E' => "%s",
        'f' => "%6f",
        'F' => "%9f",
        'H' => "%H",
        'I' => "%I",
        'm' => "%m",
        'M' => "%M",
        'p' => "%p",
        'r' => "%I:%M:%S %p",
        'R' => "%R",
        'S' => "%S",
        'T' | 'X' => "%T",
        'Y' => "%Y",
        'z' => "%Ez",
        '%' => "%%",
        // Where colours begin and end, and the tags of Envoy's fine-grain logger.
        '^' | '$' | '*' => "",
        _ => return None,
    })
}

impl Kind {
    fn write(&self, line: &Line<'_>, out: &mut Vec<u8>) {
        let mut number =
            |value: u32| out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        let text = match self {
            Kind::Time(format) => return format.write(line.time, out),
            Kind::Thread => return number(line.thread),
            Kind::Process => return number(std::process::id()),
            Kind::FileLine => return number(line.line),
            // Writing to a Vec cannot fail.
            Kind::Place => return drop(write!(out, "{}:{}", line.file, line.line)),
            Kind::MessageWithoutLineFeeds => return escape::escape_line_feeds(line.message, out),
            Kind::JsonMessage => return escape::escape_json(line.message, out),
            Kind::Level => line.level.name(),
            Kind::LevelLetter => line.level.letter(),
            Kind::Component => line.component.name(),
            Kind::File => line.file,
            Kind::FileName => line.file.rsplit('/').next().unwrap_or(line.file),
            Kind::Module => line.module,
            Kind::Message => line.message,
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Brings what was written since `start` to the item's width.
fn pad(item: &Item, start: usize, out: &mut Vec<u8>) {
    let length = out.len() - start;
    if length >= item.width {
        if item.cut {
            out.truncate(start + item.width);
        }
        return;
    }
    let missing = item.width - length;
    let before = match item.align {
        Align::Left => 0,
        Align::Right => missing,
        Align::Center => missing / 2,
    };
    out.splice(start..start, std::iter::repeat_n(b' ', before));
    out.resize(start + item.width, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn show(pattern: &str) -> String {
        let line = Line {
            time: UNIX_EPOCH + Duration::from_micros(1_795_358_726_050_792),
            level: Level::Info,
            component: Component::parse("main").unwrap(),
            thread: 13_765,
            file: "crates/server/src/lib.rs",
            line: 989,
            module: "nuncio_server::start",
            message: "runtime: {}\n\"x\"",
        };
        let mut out = Vec::new();
        Pattern::new(pattern).write(&line, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn flags_of_the_record() {
        assert_eq!(
            show("[%t][%l][%n] [%g:%#]"),
            "[13765][info][main] [crates/server/src/lib.rs:989]"
        );
        assert_eq!(
            show("%^%L%$ %@ %s %! %%"),
            "I crates/server/src/lib.rs:989 lib.rs nuncio_server::start %"
        );
        assert_eq!(
            show("%v|%_|%j"),
            "runtime: {}\n\"x\"|runtime: {}\\n\"x\"|runtime: {}\\n\\\"x\\\""
        );
        assert_eq!(show("%P"), std::process::id().to_string());
    }

    #[test]
    fn flags_of_the_time() {
        // Minutes and below are the same in (nearly) every time zone.
        assert_eq!(
            show("%M %S %e %f %F %E"),
            "45 26 050 050792 050792000 1795358726"
        );
        assert_eq!(show("%C %Y %b|%h %B"), "26 2026 Nov|Nov November");
    }

    #[test]
    fn alignment() {
        assert_eq!(
            show("%-8l|%8l|%=8l|%-4!l|%8n|%2l|%2!l"),
            "info    |    info|  info  |info|    main|info|in"
        );
        assert_eq!(show("%6e|%-6e|"), "   050|050   |");
    }

    #[test]
    fn unknown_flags_stay() {
        assert_eq!(show("%q %-8q 100%é%"), "%q %q 100%é");
        assert_eq!(show("a%-8"), "a");
        assert_eq!(show(""), "");
        assert_eq!(show("%Y%%Y"), "2026%Y");
    }
}
