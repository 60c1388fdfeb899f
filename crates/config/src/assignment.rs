//! [`read`]: a `ClusterLoadAssignment` in place. Endpoints come by the ten thousand, and nearly all of them say an
//! address, a port, perhaps a weight and metadata: those are read from the wire at once, with every rule kept that
//! concerns them.
//!
//! What is not of that kind passes the checks of this crate piece by piece. What is wrong, or merely unusual, is not read at
//! all: the caller then has the whole judged, so that errors are told in one way only. What is read means the same there.

use prost::{Message, Name};

use crate::{
    api::{
        core::Locality,
        endpoint::{LbEndpoint, cluster_load_assignment::Policy},
    },
    check::{Plans, check_with},
    normalise::normalise_inner,
    schema::MessageType,
    wire::{self, WireValue},
};

/// An assignment; `E` is what the caller makes of an endpoint.
#[derive(Debug)]
pub struct ReadAssignment<'a, E> {
    /// `cluster_name`, not empty.
    pub cluster_name: &'a str,
    /// `endpoints`
    pub localities: Vec<ReadLocality<E>>,
    /// `policy`
    pub policy: Option<Policy>,
}

/// `LocalityLbEndpoints`
#[derive(Debug)]
pub struct ReadLocality<E> {
    /// `locality`
    pub locality: Option<Locality>,
    /// `load_balancing_weight`, 1 or more.
    pub weight: Option<u32>,
    /// `priority`, 128 at most.
    pub priority: u32,
    /// `lb_endpoints`
    pub endpoints: Vec<E>,
}

/// `LbEndpoint`
#[derive(Debug)]
pub enum ReadEndpoint<'a> {
    /// One that says no more than most do.
    Plain(PlainEndpoint<'a>),
    /// Any other, checked.
    Other(Box<LbEndpoint>),
}

/// An endpoint at a socket address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainEndpoint<'a> {
    /// `endpoint.address.socket_address.address`, not empty; whether it is an address is for the caller to find out.
    pub address: &'a str,
    /// `endpoint.address.socket_address.port_value`
    pub port: u16,
    /// `endpoint.hostname`
    pub hostname: &'a str,
    /// `health_status`: a number of that enum.
    pub health_status: i32,
    /// `load_balancing_weight`, 1 or more.
    pub weight: Option<u32>,
    /// `metadata`, encoded and not checked; see [`Pieces`].
    pub metadata: Option<&'a [u8]>,
}

/// `HealthStatus` has no greater number.
const LAST_HEALTH_STATUS: u32 = 5;
/// `LocalityLbEndpoints.priority` at most.
const MAX_PRIORITY: u32 = 128;
/// Endpoints take mostly more bytes than this.
const BYTES_PER_ENDPOINT: usize = 24;
/// No piece lies deeper in an answer of discovery.
const DEPTH: usize = 10;

/// Reads an encoded assignment, of which `endpoint` sees each endpoint, in order. `None` when it is not to be read in this way,
/// or when `endpoint` says so.
pub fn read<'a, E>(
    bytes: &'a [u8],
    mut endpoint: impl FnMut(ReadEndpoint<'a>) -> Option<E>,
) -> Option<ReadAssignment<'a, E>> {
    let mut pieces = Pieces::default();
    let (mut cluster_name, mut policy) = (None, None);
    let mut localities = Vec::new();
    for field in wire::fields(bytes) {
        let field = field.ok()?;
        match field.number {
            1 => once(&mut cluster_name, text(field.value)?)?,
            2 => localities.push(locality(nested(field.value)?, &mut pieces, &mut endpoint)?),
            4 => once(&mut policy, pieces.read(nested(field.value)?)?)?,
            _ => return None,
        }
    }
    Some(ReadAssignment {
        cluster_name: cluster_name.filter(|name: &&str| !name.is_empty())?,
        localities,
        policy,
    })
}

/// Reads messages that are pieces of a larger one.
#[derive(Default)]
pub struct Pieces {
    /// What there is to check in a type, found out once.
    plans: Plans,
}

impl Pieces {
    /// Normalises, checks and decodes a message; `None` when anything is wrong with it.
    pub fn read<M: Message + Name + Default>(&mut self, bytes: &[u8]) -> Option<M> {
        let message = MessageType::find(&M::full_name())?;
        let (normal, errors) = normalise_inner(message, bytes, DEPTH);
        let findings = check_with(&mut self.plans, message, &normal);
        let is_good = errors.is_empty() && findings.errors.is_empty();
        M::decode(normal.as_slice()).ok().filter(|_| is_good)
    }
}

fn locality<'a, E>(
    bytes: &'a [u8],
    pieces: &mut Pieces,
    endpoint: &mut impl FnMut(ReadEndpoint<'a>) -> Option<E>,
) -> Option<ReadLocality<E>> {
    let (mut locality, mut weight, mut priority) = (None, None, None);
    let mut endpoints = Vec::with_capacity(bytes.len() / BYTES_PER_ENDPOINT);
    for field in wire::fields(bytes) {
        let field = field.ok()?;
        match field.number {
            1 => once(&mut locality, pieces.read(nested(field.value)?)?)?,
            2 => {
                let bytes = nested(field.value)?;
                endpoints.push(endpoint(match plain(bytes) {
                    Some(plain) => ReadEndpoint::Plain(plain),
                    None => ReadEndpoint::Other(Box::new(pieces.read(bytes)?)),
                })?);
            }
            3 => once(&mut weight, positive(field.value)?)?,
            5 => once(&mut priority, at_most(MAX_PRIORITY, field.value)?)?,
            _ => return None,
        }
    }
    Some(ReadLocality {
        locality,
        weight,
        priority: priority.unwrap_or(0),
        endpoints,
    })
}

fn plain(bytes: &[u8]) -> Option<PlainEndpoint<'_>> {
    let (mut endpoint, mut health, mut metadata, mut weight) = (None, None, None, None);
    for field in wire::fields(bytes) {
        let field = field.ok()?;
        match field.number {
            1 => once(&mut endpoint, nested(field.value)?)?,
            2 => once(&mut health, at_most(LAST_HEALTH_STATUS, field.value)?)?,
            3 => once(&mut metadata, nested(field.value)?)?,
            4 => once(&mut weight, positive(field.value)?)?,
            _ => return None,
        }
    }
    let (mut address, mut hostname) = (None, None);
    for field in wire::fields(endpoint?) {
        let field = field.ok()?;
        match field.number {
            1 => once(&mut address, nested(field.value)?)?,
            3 => once(&mut hostname, text(field.value)?)?,
            _ => return None,
        }
    }
    let (mut ip, mut port) = (None, None);
    for field in wire::fields(only(address?, 1)?) {
        let field = field.ok()?;
        match field.number {
            2 => once(&mut ip, text(field.value)?)?,
            3 => once(&mut port, at_most(u32::from(u16::MAX), field.value)?)?,
            _ => return None,
        }
    }
    Some(PlainEndpoint {
        address: ip.filter(|ip: &&str| !ip.is_empty())?,
        port: u16::try_from(port?).ok()?,
        hostname: hostname.unwrap_or_default(),
        health_status: i32::try_from(health.unwrap_or(0)).ok()?,
        weight,
        metadata,
    })
}

/// A field that is there a second time is unusual.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    match place.replace(value) {
        None => Some(()),
        Some(_) => None,
    }
}

/// The one field of a message, which is a message.
fn only(bytes: &[u8], number: u32) -> Option<&[u8]> {
    let mut fields = wire::fields(bytes);
    let field = fields.next()?.ok()?;
    let is_only = field.number == number && fields.next().is_none();
    nested(field.value).filter(|_| is_only)
}

fn nested(value: WireValue<'_>) -> Option<&[u8]> {
    match value {
        WireValue::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

fn text(value: WireValue<'_>) -> Option<&str> {
    std::str::from_utf8(nested(value)?).ok()
}

fn at_most(max: u32, value: WireValue<'_>) -> Option<u32> {
    match value {
        WireValue::Varint(bits) => u32::try_from(bits).ok().filter(|number| *number <= max),
        _ => None,
    }
}

/// A `UInt32Value` that is not zero.
fn positive(value: WireValue<'_>) -> Option<u32> {
    let mut fields = wire::fields(nested(value)?);
    let field = fields.next()?.ok()?;
    let is_only = field.number == 1 && fields.next().is_none();
    at_most(u32::MAX, field.value).filter(|number| is_only && *number > 0)
}

#[cfg(test)]
mod tests;
