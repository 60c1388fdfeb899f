//! One second as text, and the fraction put into it.

use std::io::Write;

use super::Zone;
use super::calendar::Civil;
use super::local::{self, Offset};
use super::pattern::{Item, Pad};

const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Where a fraction goes.
#[derive(Clone, Copy)]
enum Patch {
    Digits { at: usize, count: usize },
    Short { at: usize, bare: bool },
}

/// The text of one second.
pub(super) struct Rendered {
    text: Vec<u8>,
    patches: Vec<Patch>,
    /// Whether a patch changes the length, so that the text cannot be copied at once.
    ragged: bool,
}

impl Rendered {
    pub(super) const EMPTY: Rendered = Rendered {
        text: Vec::new(),
        patches: Vec::new(),
        ragged: false,
    };

    /// Renders a second, reusing the memory.
    pub(super) fn render(&mut self, items: &[Item], second: i64, zone: Zone) {
        self.text.clear();
        self.patches.clear();
        self.ragged = false;
        let offset = match zone {
            Zone::Utc => Offset::UTC,
            Zone::Local => local::offset_at(second),
        };
        let civil = Civil::from_seconds(second.saturating_add(offset.seconds.into()));
        for item in items {
            let at = self.text.len();
            match item {
                Item::Literal(text) => self.text.extend_from_slice(text.as_bytes()),
                Item::Fraction(count) => {
                    self.text.resize(at + count, b'0');
                    self.patches.push(Patch::Digits { at, count: *count });
                }
                Item::ShortFraction { bare } => {
                    self.patches.push(Patch::Short { at, bare: *bare });
                    self.ragged = true;
                }
                Item::Offset { seconds } => {
                    write_offset(offset.seconds, true, *seconds, &mut self.text)
                }
                Item::Conversion {
                    letter,
                    pad,
                    upper,
                    swap,
                    width,
                } => {
                    convert(
                        *letter,
                        *pad,
                        *width,
                        &civil,
                        second,
                        &offset,
                        &mut self.text,
                    );
                    if *upper || (*swap && *letter != 'p' && *letter != 'Z') {
                        self.text[at..].make_ascii_uppercase();
                    } else if *swap {
                        self.text[at..].make_ascii_lowercase();
                    }
                }
            }
        }
    }

    /// Appends the text with its fraction.
    pub(super) fn write(&self, micros: u32, out: &mut Vec<u8>) {
        if self.ragged {
            return self.write_ragged(micros, out);
        }
        let base = out.len();
        out.extend_from_slice(&self.text);
        for patch in &self.patches {
            if let Patch::Digits { at, count } = *patch {
                write_digits(micros, &mut out[base + at..base + at + count]);
            }
        }
    }

    fn write_ragged(&self, micros: u32, out: &mut Vec<u8>) {
        let mut done = 0;
        for patch in &self.patches {
            match *patch {
                Patch::Digits { at, count } => {
                    out.extend_from_slice(&self.text[done..at + count]);
                    let start = out.len() - count;
                    write_digits(micros, &mut out[start..]);
                    done = at + count;
                }
                Patch::Short { at, bare } => {
                    out.extend_from_slice(&self.text[done..at]);
                    done = at;
                    if micros == 0 {
                        out.extend_from_slice(if bare { b"0" } else { b"" });
                        continue;
                    }
                    if !bare {
                        out.push(b'.');
                    }
                    let start = out.len();
                    out.resize(start + 6, b'0');
                    write_digits(micros, &mut out[start..]);
                    while out.last() == Some(&b'0') {
                        out.pop();
                    }
                }
            }
        }
        out.extend_from_slice(&self.text[done..]);
    }
}

/// Overwrites `place` with the first digits of the fraction; those beyond microseconds are zero.
fn write_digits(micros: u32, place: &mut [u8]) {
    let mut unit = 100_000;
    for digit in place {
        *digit = b'0' + (micros.checked_div(unit).unwrap_or(0) % 10) as u8;
        unit /= 10;
    }
}

fn convert(
    letter: char,
    pad: Pad,
    width: usize,
    civil: &Civil,
    second: i64,
    offset: &Offset,
    out: &mut Vec<u8>,
) {
    // (number, usual width, usual padding)
    let (number, digits, padding) = match letter {
        'd' => (i64::from(civil.day), 2, b'0'),
        'e' => (i64::from(civil.day), 2, b' '),
        'm' => (i64::from(civil.month), 2, b'0'),
        'H' => (i64::from(civil.hour), 2, b'0'),
        'k' => (i64::from(civil.hour), 2, b' '),
        'I' => (hour_of_twelve(civil), 2, b'0'),
        'l' => (hour_of_twelve(civil), 2, b' '),
        'M' => (i64::from(civil.minute), 2, b'0'),
        'S' => (i64::from(civil.second), 2, b'0'),
        'j' => (i64::from(civil.yearday) + 1, 3, b'0'),
        'u' => (i64::from((civil.weekday + 6) % 7) + 1, 1, b'0'),
        'w' => (i64::from(civil.weekday), 1, b'0'),
        'U' => (i64::from(civil.week(0)), 2, b'0'),
        'W' => (i64::from(civil.week(1)), 2, b'0'),
        'V' => (i64::from(civil.iso_week().1), 2, b'0'),
        'g' => (civil.iso_week().0.rem_euclid(100), 2, b'0'),
        'G' => (civil.iso_week().0, 1, b'0'),
        'y' => (civil.year.rem_euclid(100), 2, b'0'),
        'C' => (civil.year.div_euclid(100), 2, b'0'),
        'Y' => (civil.year, 1, b'0'),
        's' => (second, 1, b'0'),
        _ => return write_text(letter, width, pad, civil, offset, out),
    };
    let padding = match pad {
        Pad::Usual => padding,
        Pad::Zero => b'0',
        Pad::Space => b' ',
        Pad::Nothing => b'0',
    };
    let digits = match pad {
        Pad::Nothing => 1,
        _ => digits.max(width),
    };
    let mut buffer = itoa::Buffer::new();
    write_padded(buffer.format(number), digits, padding, out);
}

fn write_padded(text: &str, width: usize, padding: u8, out: &mut Vec<u8>) {
    for _ in text.len()..width {
        out.push(padding);
    }
    out.extend_from_slice(text.as_bytes());
}

fn hour_of_twelve(civil: &Civil) -> i64 {
    i64::from((civil.hour + 11) % 12 + 1)
}

fn write_text(
    letter: char,
    width: usize,
    pad: Pad,
    civil: &Civil,
    offset: &Offset,
    out: &mut Vec<u8>,
) {
    let padding = if pad == Pad::Zero { b'0' } else { b' ' };
    let weekday = WEEKDAYS[civil.weekday as usize];
    let month = MONTHS[civil.month as usize - 1];
    let before_noon = civil.hour < 12;
    let Civil {
        year,
        day,
        hour,
        minute,
        second,
        ..
    } = *civil;
    let number = civil.month;
    let start = out.len();
    // Writing to a Vec cannot fail.
    let _ = match letter {
        'a' => out.write_all(&weekday.as_bytes()[..3]),
        'A' => out.write_all(weekday.as_bytes()),
        'b' => out.write_all(&month.as_bytes()[..3]),
        'B' => out.write_all(month.as_bytes()),
        'p' => out.write_all(if before_noon { b"AM" } else { b"PM" }),
        'P' => out.write_all(if before_noon { b"am" } else { b"pm" }),
        'D' => write!(out, "{number:02}/{day:02}/{:02}", year.rem_euclid(100)),
        'F' => write!(out, "{year}-{number:02}-{day:02}"),
        'R' => write!(out, "{hour:02}:{minute:02}"),
        'T' => write!(out, "{hour:02}:{minute:02}:{second:02}"),
        'Z' => out.write_all(offset.name.as_bytes()),
        _ => {
            write_offset(offset.seconds, false, false, out);
            Ok(())
        }
    };
    let missing = width.saturating_sub(out.len() - start);
    out.splice(start..start, std::iter::repeat_n(padding, missing));
}

/// `+0100`, `+01:00` or `+01:00:00`
fn write_offset(offset: i32, colons: bool, seconds: bool, out: &mut Vec<u8>) {
    let sign = if offset < 0 { '-' } else { '+' };
    let offset = offset.unsigned_abs();
    let (hours, minutes) = (offset / 3_600, offset / 60 % 60);
    let _ = match (colons, seconds) {
        (false, _) => write!(out, "{sign}{hours:02}{minutes:02}"),
        (true, false) => write!(out, "{sign}{hours:02}:{minutes:02}"),
        (true, true) => write!(out, "{sign}{hours:02}:{minutes:02}:{:02}", offset % 60),
    };
}
