//! What is usually asked of a header map.

use super::{HeaderMap, Known, NameRef};

/// What is usually asked, by name.
impl HeaderMap {
    /// `:method`
    #[must_use]
    pub fn method(&self) -> Option<&[u8]> {
        self.get(Known::Method)
    }

    /// `:path`, with the query.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        self.get(Known::Path)
    }

    /// `:authority`, which is also what an HTTP/1 `host` header becomes.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        self.get(Known::Authority)
    }

    /// `:scheme`
    #[must_use]
    pub fn scheme(&self) -> Option<&[u8]> {
        self.get(Known::Scheme)
    }

    /// `:status`, if it is a number of three digits.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match *self.get(Known::Status)? {
            [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
            }
            _ => None,
        }
    }

    /// Sets `:status`.
    pub fn set_status(&mut self, status: u16) {
        self.set(Known::Status, itoa::Buffer::new().format(status).as_bytes());
    }

    /// Sets a header to a decimal number.
    pub fn set_number<'n>(&mut self, name: impl Into<NameRef<'n>>, number: u64) {
        self.set(name, itoa::Buffer::new().format(number).as_bytes());
    }

    /// `content-length`, if it is a plain decimal number.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        let digits = self.get(Known::ContentLength)?;
        digits.iter().all(u8::is_ascii_digit).then_some(())?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}
