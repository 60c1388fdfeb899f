//! [`Session`]: the calls to one host, one after another.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_event::clock;
use nuncio_http::grpc::{Code, FrameDecoder, FrameHeader, is_grpc_response, status_in};
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_net::{Address, ConnectError, ConnectOptions};
use prost::Message as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Active, OutOfBand};
use crate::health::{Broken, Heard, HttpConnection, HttpCounters, connect_in_turn, random_below};
use crate::host::Host;
use crate::orca::{OrcaError, OrcaReport};
use crate::stats::OutOfBandStats as S;

/// The first wait before another call is at most so long; each further one without a report in between may take twice as long.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A host that has not reported for so many periods is called anew.
const SILENT_PERIODS: u32 = 3;
/// The longest report, in bytes.
const MAX_REPORT: u32 = 64 * 1024;

const PATH: &str = "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics";

/// Whom to call.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) authority: Arc<str>,
    pub(crate) connect: Arc<ConnectOptions>,
}

impl Target {
    /// `cluster`: what hosts are called that have no other name.
    pub(crate) fn new(
        host: &Host,
        settings: &OutOfBand,
        cluster: &Arc<str>,
        connect: Arc<ConnectOptions>,
    ) -> Self {
        let is_ip = matches!(host.address(), Address::Ip(_));
        let address = match settings.port {
            Some(port) if is_ip => host.address().with_port(port),
            _ => host.address().clone(),
        };
        let authority = match (&settings.authority, host.hostname()) {
            (Some(authority), _) => authority.clone(),
            (None, "") if is_ip => address.to_string().into(),
            (None, "") => cluster.clone(),
            (None, hostname) => hostname.into(),
        };
        Self {
            address,
            authority,
            connect,
        }
    }
}

/// `xds.service.orca.v3.OrcaLoadReportRequest`
#[derive(Clone, PartialEq, prost::Message)]
struct ReportRequest {
    #[prost(message, optional, tag = "1")]
    report_interval: Option<nuncio_config::api::protobuf::Duration>,
}

/// Calls one host, again and again.
pub(crate) struct Session {
    pub(crate) target: Target,
    pub(crate) period: Duration,
    /// See [`crate::health::turns`].
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) active: Active,
    pub(crate) counters: Arc<HttpCounters>,
}

/// Why a call is over.
#[derive(Debug)]
enum Over {
    /// There is no connection.
    Connecting(ConnectError),
    /// It failed, its protocol was broken, or the call was reset.
    Broken(Broken),
    /// Nothing was heard for too long.
    Silence,
    /// The peer has begun to go away.
    GoingAway(u32),
    /// The answer says so, or is none: with its gRPC status, and why.
    Status(Code, &'static str),
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting(error) => write!(f, "no connection: {error}"),
            Self::Broken(broken) => write!(f, "{broken}"),
            Self::Silence => f.write_str("inactivity timeout"),
            Self::GoingAway(0) => f.write_str("graceful goaway, reconnecting"),
            Self::GoingAway(code) => write!(f, "goaway error code={code}"),
            Self::Status(code, why) => write!(f, "rpc complete status={} {why}", code.0),
        }
    }
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Session {
    /// Calls until the host says that it does not know the method. `report` takes each report.
    pub(crate) async fn run(self, mut report: impl FnMut(&OrcaReport) -> Result<(), OrcaError>) {
        let (stats, address) = (&self.active.stats, &self.target.address);
        let mut limit = FIRST_BACKOFF;
        let mut take = |bytes: &[u8]| {
            let heard = OrcaReport::decode(bytes)
                .map_err(|_| Over::Status(Code::INTERNAL, "invalid OrcaLoadReport payload"))?;
            stats.inc(S::REPORTS_RECEIVED);
            let taken = match heard.is_finite() {
                true => report(&heard),
                false => Err(OrcaError::Value),
            };
            if let Err(error) = taken {
                stats.inc(S::REPORT_ERRORS);
                log::debug!("nothing follows from the load report of {address}: {error}");
            }
            Ok(())
        };
        // So that not all hosts are called at once.
        sleep(random_below(self.period)).await;
        loop {
            let mut has_reported = false;
            let over = self.call(&mut take, &mut has_reported).await;
            if let Over::Status(Code::UNIMPLEMENTED, why) = over {
                stats.inc(S::STREAM_TERMINATED);
                log::info!("ORCA OOB terminal for {address}: status=12 {why}");
                return;
            }
            stats.inc(S::STREAM_FAILURES);
            log::debug!("ORCA OOB transient failure for {address}: {over}");
            if has_reported {
                limit = FIRST_BACKOFF;
            }
            sleep(random_below(limit)).await;
            limit = (2 * limit).min(MAX_BACKOFF);
        }
    }

    /// One call.
    async fn call(
        &self,
        take: &mut impl FnMut(&[u8]) -> Result<(), Over>,
        has_reported: &mut bool,
    ) -> Over {
        // Waiting for it is not the host's fault.
        let turn = self.turns.clone().acquire_owned().await.ok();
        let patience = SILENT_PERIODS * self.period;
        let mut until = Instant::now() + patience;
        let connect = connect_in_turn(&self.target.address, &self.target.connect, turn);
        let mut connection = match timeout_at(until, connect).await {
            Ok(Ok(stream)) => HttpConnection::http2(stream, self.counters.clone()),
            Ok(Err(error)) => return Over::Connecting(error),
            Err(_) => return Over::Silence,
        };
        if let Err(error) = connection.send(&self.headers(), &self.request()) {
            return error.into();
        }
        let mut message = Message::new();
        let mut reading = Reading::new();
        loop {
            let heard = match timeout_at(until, connection.hear(&mut message)).await {
                Ok(Ok(heard)) => heard,
                Ok(Err(broken)) => {
                    if matches!(broken, Broken::Stream) && connection.is_reusable() {
                        connection.close_on_frame();
                    }
                    return broken.into();
                }
                Err(_) => return Over::Silence,
            };
            let mut reported = false;
            let take = |bytes: &[u8]| {
                take(bytes)?;
                reported = true;
                Ok(())
            };
            let outcome = reading.on(heard, &mut message, take);
            if reported {
                *has_reported = true;
                until = clock::now() + patience;
            }
            if let Err(over) = outcome {
                connection.close_on_frame();
                return over;
            }
        }
    }

    fn headers(&self) -> HeaderMap {
        [
            (":method", "POST"),
            (":path", PATH),
            (":authority", &*self.target.authority),
            (":scheme", "http"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        .into_iter()
        .collect()
    }

    /// The request's message, framed.
    fn request(&self) -> Vec<u8> {
        let report_interval = nuncio_config::api::protobuf::Duration {
            seconds: i64::try_from(self.period.as_secs()).unwrap_or(i64::MAX),
            nanos: self.period.subsec_nanos() as i32,
        };
        let message = ReportRequest {
            report_interval: Some(report_interval),
        };
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        [&FrameHeader::plain(length).to_bytes(), message.as_slice()].concat()
    }
}

/// The answer to one call, as far as it has come.
struct Reading {
    frames: FrameDecoder,
    partial: Buffer,
    /// The peer has said that it goes away: with the next data, another connection is made.
    going_away: bool,
}

impl Reading {
    fn new() -> Self {
        Self {
            frames: FrameDecoder::new(MAX_REPORT),
            partial: Buffer::new(),
            going_away: false,
        }
    }

    /// Takes in a part of the answer; an error ends the call.
    fn on(
        &mut self,
        heard: Heard,
        message: &mut Message,
        mut take: impl FnMut(&[u8]) -> Result<(), Over>,
    ) -> Result<(), Over> {
        let event = match heard {
            Heard::GoingAway { code: 0 } => {
                self.going_away = true;
                return Ok(());
            }
            Heard::GoingAway { code } => return Err(Over::GoingAway(code)),
            Heard::Answer(event) => event,
        };
        match event {
            Event::Informational => Ok(()),
            Event::Headers { end_stream } => on_headers(&message.headers, end_stream),
            Event::Data { end_stream } => {
                self.on_data(&mut message.data, &mut take)?;
                match (end_stream, self.going_away) {
                    (true, _) => Err(Over::Status(
                        Code::UNKNOWN,
                        "server ended stream without trailers",
                    )),
                    (false, true) => Err(Over::GoingAway(0)),
                    (false, false) => Ok(()),
                }
            }
            Event::Trailers => Err(Over::Status(status_of(&message.trailers), "trailers")),
            Event::Reset { .. } => Err(Broken::Stream.into()),
        }
    }

    fn on_data(
        &mut self,
        data: &mut Buffer,
        take: &mut impl FnMut(&[u8]) -> Result<(), Over>,
    ) -> Result<(), Over> {
        let broken = |_| Over::Status(Code::INTERNAL, "gRPC frame decode error");
        while let Some(header) = self
            .frames
            .decode(data, &mut self.partial)
            .map_err(broken)?
        {
            if header.flags != 0 {
                return Err(Over::Status(Code::INTERNAL, "invalid frame flags"));
            }
            if header.len > 0 {
                take(self.partial.as_slice())?;
                self.partial.clear();
            }
        }
        Ok(())
    }
}

fn on_headers(headers: &HeaderMap, end_stream: bool) -> Result<(), Over> {
    let is_grpc = is_grpc_response(headers, end_stream);
    if is_grpc && !end_stream {
        return Ok(());
    }
    let status = match (is_grpc, headers.status()) {
        (true, _) => status_of(headers),
        (false, status) => Code::from_http(status.unwrap_or(500)),
    };
    let why = match is_grpc {
        true => "trailers-only",
        false => "non-grpc response",
    };
    Err(Over::Status(status, why))
}

/// The status that ends an answer.
fn status_of(headers: &HeaderMap) -> Code {
    match status_in(headers) {
        Some(Ok(code)) => code,
        _ => Code::UNKNOWN,
    }
}

/// Reads an answer that comes in these pieces, behind good headers, as far as it is one.
pub(crate) fn read_all<'a>(pieces: impl Iterator<Item = &'a [u8]>) {
    let mut reading = Reading::new();
    let mut message = Message::new();
    for piece in pieces {
        message.data.append_slice(piece);
        let heard = Heard::Answer(Event::Data { end_stream: false });
        let take = |bytes: &[u8]| match OrcaReport::decode(bytes) {
            Ok(report) => {
                let _finite = report.is_finite();
                Ok(())
            }
            Err(_) => Err(Over::Silence),
        };
        if reading.on(heard, &mut message, take).is_err() {
            return;
        }
        assert!(reading.partial.len() <= MAX_REPORT as usize);
        assert!(message.data.is_empty(), "all that is not refused is taken");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_is_bounded(
            pieces in prop::collection::vec(prop::collection::vec(0..=255u8, 0..80), 0..40),
            lengths in prop::collection::vec(0..100_000u32, 0..40),
        ) {
            let prefix = |length: u32| FrameHeader::plain(length).to_bytes().to_vec();
            let framed = lengths.into_iter().map(prefix).zip(&pieces);
            let framed = framed.map(|(prefix, piece)| [prefix, piece.clone()].concat());
            let framed: Vec<_> = framed.chain(pieces.iter().cloned()).collect();
            read_all(framed.iter().map(Vec::as_slice));
        }
    }
}
