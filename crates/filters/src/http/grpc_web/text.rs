//! The base64 of `application/grpc-web-text`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nuncio_buffer::Buffer;
use nuncio_http::grpc::FrameWalker;

/// Why a request's text cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadText {
    /// It ends within a group of four.
    Length,
    /// It holds what base64 does not have.
    Data,
}

/// Decodes a body that comes in pieces. Padding may end each piece, since clients encode message by message.
#[derive(Default)]
pub(super) struct TextDecoder {
    /// The beginning of a group of four.
    rest: [u8; 3],
    rest_len: usize,
}

impl TextDecoder {
    /// Replaces text by what it stands for; the beginning of a group is kept for the next piece.
    pub(super) fn decode(&mut self, data: &mut Buffer, end: bool) -> Result<(), BadText> {
        let available = self.rest_len + data.len();
        if end && !available.is_multiple_of(4) {
            return Err(BadText::Length);
        }
        let mut text = Buffer::new();
        text.append_slice(&self.rest[..self.rest_len]);
        text.append(data);
        let whole = available / 4 * 4;
        let rest = &text[whole..];
        self.rest_len = rest.len();
        self.rest[..rest.len()].copy_from_slice(rest);

        let decoded = data.writer(whole / 4 * 3);
        let start = decoded.len();
        decoded.resize(start + whole / 4 * 3, 0);
        let len = STANDARD
            .decode_slice(&text[..whole], &mut decoded[start..])
            .map_err(|_| BadText::Data)?;
        decoded.truncate(start + len);
        Ok(())
    }
}

/// Encodes a body that comes in pieces. Each message becomes a text of its own, with its padding, whether or not it comes
/// whole: what is held is less than a group of three bytes.
#[derive(Default)]
pub(super) struct TextEncoder {
    walker: FrameWalker,
    /// The beginning of a group of three.
    rest: [u8; 3],
    rest_len: usize,
}

impl TextEncoder {
    /// Replaces bytes by their text, but for the beginning of a group that the next piece completes.
    pub(super) fn encode(&mut self, data: &mut Buffer) {
        let mut text = Buffer::new();
        text.reserve(data.len().div_ceil(3) * 4);
        let mut piece = data.as_slice();
        while !piece.is_empty() {
            let step = self.walker.step(piece);
            let (seen, after) = piece.split_at(step.len);
            self.push(seen, &mut text);
            if step.ends {
                self.finish(&mut text);
            }
            piece = after;
        }
        *data = text;
    }

    /// Ends a text that has no end yet.
    pub(super) fn finish(&mut self, text: &mut Buffer) {
        encode_whole(&self.rest[..self.rest_len], text);
        self.rest_len = 0;
    }

    fn push(&mut self, mut bytes: &[u8], text: &mut Buffer) {
        if self.rest_len > 0 {
            let taken = bytes.len().min(3 - self.rest_len);
            self.rest[self.rest_len..self.rest_len + taken].copy_from_slice(&bytes[..taken]);
            self.rest_len += taken;
            bytes = &bytes[taken..];
            if self.rest_len < 3 {
                return;
            }
            encode_whole(&self.rest, text);
        }
        let (whole, rest) = bytes.split_at(bytes.len() / 3 * 3);
        encode_whole(whole, text);
        self.rest[..rest.len()].copy_from_slice(rest);
        self.rest_len = rest.len();
    }
}

/// Appends the text of `bytes`, with padding.
pub(super) fn encode_whole(bytes: &[u8], text: &mut Buffer) {
    let len = bytes.len().div_ceil(3) * 4;
    let out = text.writer(len);
    let start = out.len();
    out.resize(start + len, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written, Ok(len));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&str]) -> Result<Vec<u8>, BadText> {
        let mut decoder = TextDecoder::default();
        let mut all = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let mut data = Buffer::from(*piece);
            decoder.decode(&mut data, index + 1 == pieces.len())?;
            all.extend_from_slice(&data);
        }
        Ok(all)
    }

    #[test]
    fn texts_are_decoded_however_they_are_cut() {
        let whole = b"\0\0\0\0\x03req".to_vec();
        assert_eq!(decode(&["AAAAAANyZXE="]), Ok(whole.clone()));
        assert_eq!(decode(&["A", "", "AAAAA", "NyZXE", "=", ""]), Ok(whole));
        assert_eq!(decode(&["YQ==", "YWI="]), Ok(b"aab".to_vec()));
        assert_eq!(decode(&[""]), Ok(vec![]));
    }

    #[test]
    fn bad_texts_are_refused() {
        assert_eq!(decode(&["AAAAA"]), Err(BadText::Length));
        assert_eq!(decode(&["AAAA", "AA", ""]), Err(BadText::Length));
        for bad in ["!!!!", "YQ==YWI=", "YWJ=", "Y===", "AA-_", "AA\r\n"] {
            assert_eq!(decode(&[bad]), Err(BadText::Data), "{bad}");
        }
    }

    #[test]
    fn every_message_is_a_text_of_its_own() {
        let body = b"\0\0\0\0\x01a\x01\0\0\0\x04bcde\0\0\0\0\0";
        for size in 1..=body.len() {
            let mut encoder = TextEncoder::default();
            let mut text = Buffer::new();
            for piece in body.chunks(size) {
                let mut data = Buffer::from(piece);
                encoder.encode(&mut data);
                text.append(&mut data);
            }
            encoder.finish(&mut text);
            let expected = b"AAAAAAFh\x41QAAAARiY2RlAAAAAAA=";
            assert_eq!(text.as_slice(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_message_that_breaks_off_is_ended() {
        let mut encoder = TextEncoder::default();
        let mut data = Buffer::from(&b"\0\0\0\0\x09ab"[..]);
        encoder.encode(&mut data);
        encoder.finish(&mut data);
        assert_eq!(data.as_slice(), b"AAAAAAlhYg==");
    }
}
