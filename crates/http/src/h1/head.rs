//! Finding the end of a head, and parsing its header lines.

use std::mem::MaybeUninit;

use memchr::memchr;

use super::error::{self, CodecError};

/// Heads with up to this many lines are parsed without an allocation.
const USUAL_LINES: usize = 48;

/// Remembers how far the end of a head has been searched, so that input in small pieces costs linear time.
///
/// Also refuses lines that end in a bare LF.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    scanned: usize,
    line_start: usize,
    lines: usize,
}

impl HeadScanner {
    /// The length of the head at the front of `input`, empty line included, or None if it is
    /// not complete. `limit` is the longest head, in bytes.
    ///
    /// Between calls the input may only grow at its end.
    pub(super) fn find_end(
        &mut self,
        input: &[u8],
        limit: usize,
    ) -> Result<Option<usize>, CodecError> {
        let window = &input[..input.len().min(limit)];
        while let Some(found) = memchr(b'\n', &window[self.scanned..]) {
            let at = self.scanned + found;
            if at == self.line_start || window[at - 1] != b'\r' {
                return Err(error::BARE_LF);
            }
            if at - 1 == self.line_start {
                return Ok(Some(at + 1));
            }
            self.lines += 1;
            self.line_start = at + 1;
            self.scanned = at + 1;
        }
        self.scanned = window.len();
        if input.len() >= limit {
            Err(error::HEAD_TOO_LARGE)
        } else {
            Ok(None)
        }
    }

    /// Lines of the head that was found, without the empty one.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    /// Whether a part of a head has been seen.
    pub(super) fn has_begun(&self) -> bool {
        self.scanned > 0
    }
}

/// Calls `parse` with room for `lines` headers.
pub(super) fn with_header_room<'b, R>(
    lines: usize,
    parse: impl FnOnce(&mut [MaybeUninit<httparse::Header<'b>>]) -> R,
) -> R {
    if lines <= USUAL_LINES {
        parse(&mut [const { MaybeUninit::uninit() }; USUAL_LINES])
    } else {
        // Bounded by the length of the head: a line has at least three bytes.
        let mut room: Vec<_> = (0..lines).map(|_| MaybeUninit::uninit()).collect();
        parse(&mut room)
    }
}

/// The error of a head that did not parse: Envoy tells control characters from other mistakes.
#[cold]
pub(super) fn classify(head: &[u8], reason: httparse::Error) -> CodecError {
    if has_control(head) {
        return error::INVALID_CHARACTERS;
    }
    CodecError::syntax(match reason {
        httparse::Error::HeaderName => "invalid header name",
        httparse::Error::HeaderValue => "invalid header value",
        httparse::Error::NewLine => "invalid line end",
        httparse::Error::Status => "invalid status code",
        httparse::Error::Token => "invalid request line",
        httparse::Error::Version => "invalid protocol version",
        httparse::Error::TooManyHeaders => "too many header lines",
    })
}

/// Whether a control character other than tab, CR and LF is in the head.
pub(super) fn has_control(head: &[u8]) -> bool {
    head.iter()
        .any(|&byte| (byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n')) || byte == 0x7f)
}

/// Whether a comma-separated list (of a `Connection` header) names `token`, whatever the case.
#[must_use]
pub fn list_contains(list: &[u8], token: &[u8]) -> bool {
    // Most lists have one item, and are too short for `memchr` to be worth its call.
    if !list.contains(&b',') {
        return list.trim_ascii().eq_ignore_ascii_case(token);
    }
    list.split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_the_input_comes() {
        let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nbody";
        let mut at_once = HeadScanner::default();
        assert_eq!(at_once.find_end(head, 100), Ok(Some(27)));
        assert_eq!(at_once.lines(), 2);
        let mut bytewise = HeadScanner::default();
        for end in 0..27 {
            assert_eq!(bytewise.find_end(&head[..end], 100), Ok(None));
        }
        assert_eq!(bytewise.find_end(&head[..27], 100), Ok(Some(27)));
    }

    #[test]
    fn the_limit_is_exact_and_independent_of_pieces() {
        let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        assert_eq!(HeadScanner::default().find_end(head, 27), Ok(Some(27)));
        assert_eq!(
            HeadScanner::default().find_end(head, 26),
            Err(error::HEAD_TOO_LARGE)
        );
        assert_eq!(
            HeadScanner::default().find_end(&head[..26], 26),
            Err(error::HEAD_TOO_LARGE)
        );
        assert_eq!(HeadScanner::default().find_end(&head[..25], 26), Ok(None));
    }

    #[test]
    fn bare_lf_is_refused() {
        for head in [
            &b"\n"[..],
            b"GET / HTTP/1.1\n\r\n",
            b"GET / HTTP/1.1\r\n\n",
            b"a\r\nb: c\n\r\n",
        ] {
            assert_eq!(
                HeadScanner::default().find_end(head, 100),
                Err(error::BARE_LF),
                "{head:?}"
            );
        }
    }

    #[test]
    fn lists() {
        assert!(list_contains(b"a, Close ,b", b"close"));
        assert!(!list_contains(b"closed, x-close", b"close"));
        assert!(!list_contains(b"", b"close"));
    }
}
