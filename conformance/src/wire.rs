//! A tolerant reader of HTTP/1 messages, for looking at what was received; it judges nothing.

/// One message: its lines as received and its decoded body.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub start: String,
    pub headers: Vec<String>,
    pub body: Vec<u8>,
    pub trailers: Vec<String>,
    /// All of the message has arrived.
    pub complete: bool,
}

/// Whose messages are read: responses need to know whether they answer HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Requests,
    Responses { to_head: bool },
}

impl Message {
    /// The first value of a header, without surrounding blanks.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The status of a response, 0 when there is none.
    pub(crate) fn status(&self) -> u16 {
        self.start
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }
}

/// Splits `bytes` into messages; what cannot be read as one is the rest. With `ended`, a response without framing is complete.
pub(crate) fn read(bytes: &[u8], side: Side, ended: bool) -> (Vec<Message>, Vec<u8>) {
    let mut messages = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some((message, used)) = first(&bytes[at..], side, ended) else {
            break;
        };
        let complete = message.complete;
        let switched = side != Side::Requests && message.status() == 101;
        messages.push(message);
        at += used;
        if !complete || switched {
            break;
        }
    }
    (messages, bytes[at..].to_vec())
}

/// The first message as far as it has arrived, and its length; `None` when its head is incomplete or is none.
pub(crate) fn first(bytes: &[u8], side: Side, ended: bool) -> Option<(Message, usize)> {
    let head_end = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_end - 4]).into_owned();
    let mut lines = head.split("\r\n").map(str::to_owned);
    let start = lines.next().unwrap_or_default();
    let starts_well = match side {
        Side::Requests => start.contains(" HTTP/"),
        Side::Responses { .. } => start.starts_with("HTTP/"),
    };
    if !starts_well {
        return None;
    }
    let mut message = Message {
        start,
        headers: lines.collect(),
        ..Message::default()
    };
    let rest = &bytes[head_end..];
    let status = message.status();
    let bodiless = match side {
        Side::Requests => false,
        Side::Responses { to_head } => to_head || status < 200 || status == 204 || status == 304,
    };
    let used = if bodiless {
        message.complete = true;
        0
    } else if message
        .header("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        chunked(rest, &mut message)
    } else if let Some(length) = message
        .header("content-length")
        .and_then(|value| value.parse::<usize>().ok())
    {
        let take = length.min(rest.len());
        message.body = rest[..take].to_vec();
        message.complete = take == length;
        take
    } else if side == Side::Requests {
        message.complete = true;
        0
    } else {
        message.body = rest.to_vec();
        message.complete = ended;
        rest.len()
    };
    Some((message, head_end + used))
}

/// Decodes chunks into the message as far as they go and returns the bytes used.
fn chunked(bytes: &[u8], message: &mut Message) -> usize {
    let mut at = 0;
    loop {
        let Some(line_end) = find(&bytes[at..], b"\r\n") else {
            return at;
        };
        let line = String::from_utf8_lossy(&bytes[at..at + line_end]).into_owned();
        let digits = line.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(digits, 16) else {
            return at;
        };
        let data = at + line_end + 2;
        if size == 0 {
            return trailers(bytes, data, message);
        }
        let Some(end) = data.checked_add(size).filter(|end| end + 2 <= bytes.len()) else {
            message.body.extend_from_slice(&bytes[data..]);
            return bytes.len();
        };
        message.body.extend_from_slice(&bytes[data..end]);
        at = end + 2;
    }
}

fn trailers(bytes: &[u8], mut at: usize, message: &mut Message) -> usize {
    loop {
        let Some(line_end) = find(&bytes[at..], b"\r\n") else {
            return at;
        };
        let line = String::from_utf8_lossy(&bytes[at..at + line_end]).into_owned();
        at += line_end + 2;
        if line.is_empty() {
            message.complete = true;
            return at;
        }
        message.trailers.push(line);
    }
}

/// The first place of `needle` in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSES: Side = Side::Responses { to_head: false };

    #[test]
    fn reads_length_and_chunked_messages_in_a_row() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\nrest";
        let (messages, rest) = read(bytes, RESPONSES, false);
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].body, b"hi");
        assert_eq!(messages[1].body, b"abc");
        assert_eq!(messages[1].trailers, ["x: y"]);
        assert_eq!(rest, b"rest");
    }

    #[test]
    fn truncated_bodies_are_incomplete() {
        let (messages, _) = read(
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi",
            RESPONSES,
            true,
        );
        assert!(!messages[0].complete);
        let (messages, _) = read(b"HTTP/1.1 200 OK\r\n\r\nhi", RESPONSES, true);
        assert!(messages[0].complete);
    }

    #[test]
    fn what_follows_a_switch_of_protocols_is_the_rest() {
        let (messages, rest) = read(
            b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 raw\r\n\r\n",
            RESPONSES,
            false,
        );
        assert_eq!((messages.len(), rest.len()), (1, 16));
    }
}
