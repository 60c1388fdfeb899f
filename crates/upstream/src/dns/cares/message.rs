//! DNS messages (RFC 1035): questions about addresses, and what the answers say. Sans-IO.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The kind of address that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// IPv4
    A = 1,
    /// IPv6
    Aaaa = 28,
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Addresses, and the least TTL on the way to them; none when the name has no address of this kind, or does not exist.
    Addresses(Vec<IpAddr>, Option<Duration>),
    /// It did not fit: to be asked again by TCP.
    Truncated,
    /// Neither addresses nor the word that there are none: `SERVFAIL`, `REFUSED`, …
    Refused(u8),
    /// It is no answer to this question.
    Foreign,
    /// It breaks the protocol.
    Malformed,
}

/// `FORMERR`: what servers say that do not know EDNS.
pub const FORMAT_ERROR: u8 = 1;

const HEADER: usize = 12;
const CNAME: u16 = 5;
const OPT: u16 = 41;
const CLASS_IN: u16 = 1;
const NAME_ERROR: u8 = 3;
/// A chain of aliases that is longer does not lead anywhere.
const MAX_ALIASES: usize = 24;
/// A name has no more labels (RFC 1035 section 3.1), so it needs no more jumps.
const MAX_JUMPS: usize = 127;

/// A question in wire format; `None` for what is no name of a host: a label is empty or too long, or the whole is.
/// `payload`: the largest answer by UDP, told by EDNS.
pub fn question(id: u16, name: &str, kind: RecordType, payload: Option<u16>) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 6 + 11);
    message.extend(id.to_be_bytes());
    // Recursion is desired; one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(payload.is_some())]);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    if message.len() - HEADER > 255 {
        return None;
    }
    message.extend((kind as u16).to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    if let Some(payload) = payload {
        message.push(0);
        message.extend(OPT.to_be_bytes());
        message.extend(payload.to_be_bytes());
        message.extend([0; 6]);
    }
    Some(message)
}

/// Reads what a server has sent in answer to `question`.
pub fn answer(question: &[u8], message: &[u8]) -> Answer {
    read(question, message).unwrap_or(Answer::Malformed)
}

fn read(question: &[u8], message: &[u8]) -> Option<Answer> {
    let header = message.get(..HEADER)?;
    let is_response = header[2] & 0x80 != 0;
    if header[..2] != question[..2] || !is_response {
        return Some(Answer::Foreign);
    }
    let code = header[3] & 0xf;
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let mut asked = Reader {
        message: question,
        at: HEADER,
    };
    let (name, kind) = (asked.name()?, asked.u16()?);
    let mut reader = Reader {
        message,
        at: HEADER,
    };
    match count(4) {
        1 => {
            let same = reader.name()? == name && reader.u16()? == kind;
            if !same || reader.u16()? != CLASS_IN {
                return Some(Answer::Foreign);
            }
        }
        // Some servers leave the question out where they refuse it.
        0 if code != 0 => {}
        _ => return None,
    }
    match code {
        0 => {}
        NAME_ERROR => return Some(Answer::Addresses(Vec::new(), None)),
        code => return Some(Answer::Refused(code)),
    }
    if header[2] & 2 != 0 {
        return Some(Answer::Truncated);
    }
    records(&mut reader, count(6), name, kind)
}

/// Follows the aliases from `name` to addresses. Records may stand in any order.
fn records(reader: &mut Reader<'_>, count: u16, name: Vec<u8>, kind: u16) -> Option<Answer> {
    let mut aliases = Vec::new();
    let mut found = Vec::new();
    for _ in 0..count {
        let owner = reader.name()?;
        let (record, class) = (reader.u16()?, reader.u16()?);
        let ttl = reader.u32()?;
        let length = usize::from(reader.u16()?);
        let start = reader.at;
        let data = reader.message.get(start..start + length)?;
        if class == CLASS_IN && record == CNAME {
            aliases.push((owner, reader.name()?, ttl));
            if reader.at != start + length {
                return None;
            }
        } else if class == CLASS_IN && record == kind {
            let address = if kind == RecordType::A as u16 {
                IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?))
            } else {
                IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?))
            };
            found.push((owner, address, ttl));
        }
        reader.at = start + length;
    }
    let (mut at, mut least) = (name, u32::MAX);
    for _ in 0..MAX_ALIASES {
        let Some((_, to, ttl)) = aliases.iter().find(|(owner, ..)| *owner == at) else {
            break;
        };
        least = least.min(*ttl);
        at.clone_from(to);
    }
    let mut addresses = Vec::new();
    for (_, address, ttl) in found.into_iter().filter(|(owner, ..)| *owner == at) {
        least = least.min(ttl);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let ttl = (!addresses.is_empty()).then(|| Duration::from_secs(seconds(least)));
    Some(Answer::Addresses(addresses, ttl))
}

/// A TTL has 31 bits; one with the highest bit set counts as 0 (RFC 2181 section 8).
fn seconds(ttl: u32) -> u64 {
    if ttl > i32::MAX as u32 { 0 } else { ttl.into() }
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.message.get(self.at..self.at + N)?;
        self.at += N;
        bytes.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// A name in lower case, its labels with their lengths. Each jump leads further back, so there is an end.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        let (mut at, mut bound, mut after) = (self.at, self.at, None);
        let mut jumps = 0;
        loop {
            let length = *self.message.get(at)?;
            match length >> 6 {
                0 if length == 0 => break,
                0 => {
                    let label = self.message.get(at..at + 1 + usize::from(length))?;
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                    if name.len() > 255 {
                        return None;
                    }
                    at += label.len();
                }
                3 => {
                    let low = *self.message.get(at + 1)?;
                    let to = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    after.get_or_insert(at + 2);
                    jumps += 1;
                    if to >= bound || jumps > MAX_JUMPS {
                        return None;
                    }
                    (at, bound) = (to, to);
                }
                _ => return None,
            }
        }
        self.at = after.unwrap_or(at + 1);
        Some(name)
    }
}

#[cfg(test)]
mod tests;
