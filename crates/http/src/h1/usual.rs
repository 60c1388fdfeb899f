//! The usual head, read in one pass.
//!
//! Nearly every head is there whole at first sight, has no mistake and nothing rare. Such a head is found, checked and cut
//! into its parts here at once. For whatever is unusual (`None`) the caller takes the thorough way, which alone
//! decides what is wrong with a head.

use super::joined;
use super::lengths::Lengths;
use super::scan;
use super::settings::{H1Settings, UnderscoreAction};
use crate::headers::{Line, WholeHead};
use crate::{Known, validate};

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// Reads a head from its front.
pub(super) struct UsualHead<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> UsualHead<'a> {
    /// The head at the front of `input`, which may go on behind it.
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0 }
    }

    /// What has been read, line ends included.
    pub(super) fn bytes(&self) -> &'a [u8] {
        &self.input[..self.at]
    }

    /// A request line of HTTP/1.1: the ends of method and target, which one space parts.
    pub(super) fn request_line(&mut self) -> Option<(usize, usize)> {
        let method_end = self.input.iter().take(32).position(|&byte| byte == b' ')?;
        let target = method_end + 1;
        let target_end = scan::end_of_visible(self.input, target);
        let behind = self.input[target_end..].first_chunk()?;
        if target_end == target || behind != b" HTTP/1.1\r\n" {
            return None;
        }
        self.at = target_end + behind.len();
        Some((method_end, target_end))
    }

    /// A status line of HTTP/1.1 with a reason phrase: the status. Its digits stand at bytes 9 to 11.
    pub(super) fn status_line(&mut self) -> Option<u16> {
        let &[
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'1',
            b' ',
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            b' ',
        ] = self.input.first_chunk::<13>()?
        else {
            return None;
        };
        let end = scan::end_of_text(self.input, 13);
        if self.input.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        self.at = end + 2;
        let digit = |byte: u8| u16::from(byte - b'0');
        Some(digit(a) * 100 + digit(b) * 10 + digit(c))
    }

    /// Puts all header lines, up to the end of the head, into `whole`. Those that cannot be there twice are not.
    pub(super) fn header_lines(
        &mut self,
        whole: &mut WholeHead<'_>,
        settings: &H1Settings,
        side: Side,
    ) -> Option<Lengths> {
        let joined = match side {
            Side::Request => joined::REQUEST,
            Side::Response => joined::RESPONSE,
        };
        let no_underscores =
            side == Side::Request && settings.underscores != UnderscoreAction::Allow;
        let most = whole.len() + settings.max_headers;
        let mut lengths = Lengths::default();
        while !self.ends() {
            let line = self.line()?;
            let name = &self.input[line.start..line.name_end];
            let Some(known) = Known::from_any_case(name) else {
                let unusual = !validate::is_token(name)
                    || (no_underscores && name.contains(&b'_'))
                    || !whole.add_other(line);
                if unusual {
                    return None;
                }
                continue;
            };
            let value = line.value_start..line.value_end;
            let known = match known {
                Known::Host if side == Side::Request => Known::Authority,
                other => other,
            };
            if whole.contains(known) && (joined.contains(known) || known == Known::Authority) {
                return None;
            }
            match known {
                Known::ContentLength => lengths.content_length(&self.input[value.clone()]).ok()?,
                Known::TransferEncoding => lengths.transfer_encoding(&self.input[value.clone()]),
                _ => {}
            }
            whole.add_known(known, value);
        }
        (whole.len() <= most).then_some(lengths)
    }

    /// Whether the empty line that ends the head comes next; it is then read.
    #[inline]
    fn ends(&mut self) -> bool {
        let ends = self.input[self.at..].starts_with(b"\r\n");
        if ends {
            self.at += 2;
        }
        ends
    }

    /// The next header line. Its name is checked no further than that it is not empty: what is no known name must be
    /// looked at.
    #[inline]
    fn line(&mut self) -> Option<Line> {
        let start = self.at;
        let name_end = scan::find_colon(self.input, start);
        let mut value_start = name_end + 1;
        while matches!(self.input.get(value_start)?, b' ' | b'\t') {
            value_start += 1;
        }
        let mut end = value_start;
        loop {
            end = scan::end_of_text(self.input, end);
            match *self.input.get(end..)?.first_chunk()? {
                [b'\r', b'\n'] => break,
                [b'\t', _] => end += 1,
                _ => return None,
            }
        }
        self.at = end + 2;
        let mut value_end = end;
        while value_end > value_start && matches!(self.input[value_end - 1], b' ' | b'\t') {
            value_end -= 1;
        }
        (name_end > start).then_some(Line {
            start,
            name_end,
            value_start,
            value_end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_cut_into_its_parts() {
        let input = b"GET /a?b HTTP/1.1\r\nHost: h\r\nX:\t a\tb  \r\nEmpty:\r\n\r\nbody";
        let mut head = UsualHead::new(input);
        assert_eq!(head.request_line(), Some((3, 8)));
        let mut lines = Vec::new();
        while !head.ends() {
            let line = head.line().unwrap();
            lines.push((
                &input[line.start..line.name_end],
                &input[line.value_start..line.value_end],
            ));
        }
        let expected: [(&[u8], &[u8]); 3] = [(b"Host", b"h"), (b"X", b"a\tb"), (b"Empty", b"")];
        assert_eq!(lines, expected);
        assert_eq!(head.bytes().len() + 4, input.len());
        let mut head = UsualHead::new(b"HTTP/1.1 404 Not Found\r\n\r\n");
        assert_eq!(head.status_line(), Some(404));
        assert!(head.ends());
    }

    #[test]
    fn what_is_unusual_is_left_to_others() {
        for head in [
            "GET  / HTTP/1.1\r\n",
            "GET / HTTP/1.0\r\n",
            "GET / HTTP/1.1\n",
            "GET /\u{e9} HTTP/1.1\r\n",
            "GET  HTTP/1.1\r\n",
            "GET / HTTP/1.1",
        ] {
            assert_eq!(UsualHead::new(head.as_bytes()).request_line(), None);
        }
        for head in ["HTTP/1.1 200\r\n", "HTTP/1.1 200 a\nb\r\n", "HTTP/1.1 2"] {
            assert_eq!(UsualHead::new(head.as_bytes()).status_line(), None);
        }
        for line in [
            ": v\r\n",
            "a: b\nc\r\n",
            "a: b\r",
            "a: b\x7f\r\n",
            "abc\r\n",
            "a:",
        ] {
            assert_eq!(UsualHead::new(line.as_bytes()).line(), None, "{line:?}");
        }
    }
}
