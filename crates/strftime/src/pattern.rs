//! From format text to items.

use super::LineFeed;

/// How a number is padded (glibc's flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pad {
    /// As the conversion has it.
    Usual,
    Nothing,
    Space,
    Zero,
}

/// A piece of a time format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Literal(Box<str>),
    /// A conversion whose text is the same for the whole second.
    Conversion {
        letter: char,
        pad: Pad,
        upper: bool,
        swap: bool,
        width: usize,
    },
    /// Digits of the fraction of the second.
    Fraction(usize),
    /// The fraction without trailing zeros, at least one digit when `bare`, else with a dot in front and only when
    /// it is not zero.
    ShortFraction {
        bare: bool,
    },
    /// The offset from UTC with colons; with seconds when asked.
    Offset {
        seconds: bool,
    },
}

/// Abseil reads no more digits of a fraction.
const MAX_DIGITS: usize = 15;

/// Compiles a format. What is no conversion stays as it is written.
pub(super) fn parse(format: &str) -> Result<Box<[Item]>, LineFeed> {
    let mut items = Vec::new();
    let mut literal = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        let (new, length) = conversion(&rest[1..])?;
        if new.is_empty() {
            literal.push_str(&rest[..1 + length]);
        } else {
            if !literal.is_empty() {
                items.push(Item::Literal(std::mem::take(&mut literal).into()));
            }
            items.extend(new);
        }
        rest = &rest[1 + length..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        items.push(Item::Literal(literal.into()));
    }
    Ok(items.into())
}

/// The items of the conversion behind a `%`, and its length. No items: not a conversion.
fn conversion(text: &str) -> Result<(Vec<Item>, usize), LineFeed> {
    let plain = |letter| Item::Conversion {
        letter,
        pad: Pad::Usual,
        upper: false,
        swap: false,
        width: 0,
    };
    if let Some(extended) = text.strip_prefix('E')
        && let Some((items, length)) = abseil(extended)
    {
        return Ok((items, length + 1));
    }
    if let Some(colons) = text
        .find(|c| c != ':')
        .filter(|colons| (1..=3).contains(colons))
        && text[colons..].starts_with('z')
    {
        // `%:::z` shows only as much as is needed; offsets of whole hours are all but universal.
        let seconds = colons == 2;
        return Ok((vec![Item::Offset { seconds }], colons + 1));
    }
    let flags_end = text.find(|c| !"-_0^#".contains(c)).unwrap_or(text.len());
    let (flags, rest) = text.split_at(flags_end);
    let digits_end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(digits_end);
    let (modifier, rest) = match rest.strip_prefix(['E', 'O']) {
        Some(rest) => (1, rest),
        None => (0, rest),
    };
    let Some(letter) = rest.chars().next() else {
        return Ok((Vec::new(), text.len()));
    };
    let length = flags.len() + digits.len() + modifier + letter.len_utf8();
    if letter == 'n' {
        return Err(LineFeed);
    }
    if letter == 'f' && flags.is_empty() && modifier == 0 {
        return Ok(match digits {
            "" => (vec![Item::Fraction(9)], length),
            "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" => (
                vec![Item::Fraction(usize::from(digits.as_bytes()[0] - b'0'))],
                length,
            ),
            _ => (Vec::new(), length),
        });
    }
    let items = match letter {
        'c' => vec![
            plain('a'),
            lit(" "),
            plain('b'),
            lit(" "),
            plain('e'),
            lit(" "),
            plain('T'),
            lit(" "),
            plain('Y'),
        ],
        'x' => vec![plain('D')],
        'X' => vec![plain('T')],
        'h' => vec![plain('b')],
        'r' => vec![
            plain('I'),
            lit(":"),
            plain('M'),
            lit(":"),
            plain('S'),
            lit(" "),
            plain('p'),
        ],
        '%' => vec![lit("%")],
        't' => vec![lit("\t")],
        letter if "aAbBCdDeFgGHIjklmMpPRsSTuUVwWyYzZ".contains(letter) => {
            let pad = match flags.chars().rfind(|flag| "-_0".contains(*flag)) {
                Some('-') => Pad::Nothing,
                Some('_') => Pad::Space,
                Some('0') => Pad::Zero,
                _ => Pad::Usual,
            };
            // No more than a line needs, whatever is asked.
            let width = digits.parse().unwrap_or(0_usize).min(64);
            let (upper, swap) = (flags.contains('^'), flags.contains('#'));
            vec![Item::Conversion {
                letter,
                pad,
                upper,
                swap,
                width,
            }]
        }
        _ => Vec::new(),
    };
    Ok((items, length))
}

fn lit(text: &str) -> Item {
    Item::Literal(text.into())
}

/// Abseil's extensions, behind `%E`.
fn abseil(text: &str) -> Option<(Vec<Item>, usize)> {
    let second = || Item::Conversion {
        letter: 'S',
        pad: Pad::Usual,
        upper: false,
        swap: false,
        width: 0,
    };
    if text.starts_with('z') {
        return Some((vec![Item::Offset { seconds: false }], 1));
    }
    if text.starts_with('T') {
        return Some((vec![lit("T")], 1));
    }
    if let Some(rest) = text.strip_prefix('*') {
        let items = match rest.chars().next()? {
            'z' => vec![Item::Offset { seconds: true }],
            'S' => vec![second(), Item::ShortFraction { bare: false }],
            'f' => vec![Item::ShortFraction { bare: true }],
            _ => return None,
        };
        return Some((items, 2));
    }
    if text.starts_with("4Y") {
        let year = Item::Conversion {
            letter: 'Y',
            pad: Pad::Zero,
            upper: false,
            swap: false,
            width: 4,
        };
        return Some((vec![year], 2));
    }
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let digits = text[..end].parse::<usize>().ok()?.min(MAX_DIGITS);
    let items = match text[end..].chars().next()? {
        'S' if digits == 0 => vec![second()],
        'S' => vec![second(), lit("."), Item::Fraction(digits)],
        'f' => vec![Item::Fraction(digits)],
        _ => return None,
    };
    Some((items, end + 1))
}
