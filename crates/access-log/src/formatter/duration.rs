//! `%COMMON_DURATION(start:end:unit)%` and what the other durations share.

use std::time::Duration;

use nuncio_config::ConfigError;
use nuncio_event::Instant;
use nuncio_sdk::{LogContext, StreamInfo};

use super::field::number;
use super::operator::Written;

/// From the start of the stream to a point in time, if it happened.
pub(super) fn since_start(info: &StreamInfo, point: Option<Instant>) -> Option<Duration> {
    Some(point?.saturating_duration_since(info.start))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    DownstreamRxBegin,
    DownstreamRxEnd,
    DownstreamTxBegin,
    DownstreamTxEnd,
    UpstreamTxBegin,
    UpstreamTxEnd,
    UpstreamRxBegin,
    UpstreamRxEnd,
    /// A custom point, which filters could set by name in Envoy; none does here.
    Never,
}

impl Point {
    fn parse(name: &str) -> Result<Point, ConfigError> {
        Ok(match name {
            "DS_RX_BEG" => Point::DownstreamRxBegin,
            "DS_RX_END" => Point::DownstreamRxEnd,
            "DS_TX_BEG" => Point::DownstreamTxBegin,
            "DS_TX_END" => Point::DownstreamTxEnd,
            "US_TX_BEG" => Point::UpstreamTxBegin,
            "US_TX_END" => Point::UpstreamTxEnd,
            "US_RX_BEG" => Point::UpstreamRxBegin,
            "US_RX_END" => Point::UpstreamRxEnd,
            "US_CX_BEG" | "US_CX_END" | "US_HS_END" | "DS_HS_BEG" | "DS_HS_END"
            | "DS_RX_HDR_END" => {
                return Err(ConfigError::new(
                    "",
                    format!("unsupported: COMMON_DURATION does not know the time point {name} yet"),
                ));
            }
            _ => Point::Never,
        })
    }

    fn of(self, info: &StreamInfo) -> Option<Instant> {
        let timing = &info.timing;
        match self {
            Point::DownstreamRxBegin => Some(info.start),
            Point::DownstreamRxEnd => timing.last_downstream_rx,
            Point::DownstreamTxBegin => timing.first_downstream_tx,
            Point::DownstreamTxEnd => timing.last_downstream_tx,
            Point::UpstreamTxBegin => timing.first_upstream_tx,
            Point::UpstreamTxEnd => timing.last_upstream_tx,
            Point::UpstreamRxBegin => timing.first_upstream_rx,
            Point::UpstreamRxEnd => timing.last_upstream_rx,
            Point::Never => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// The time between two points of a stream.
#[derive(Debug)]
pub(super) struct CommonDuration {
    start: Point,
    end: Point,
    unit: Unit,
}

impl CommonDuration {
    /// Reads `start:end` or `start:end:unit`, where the unit is `ms`, `us` or `ns`.
    pub(super) fn parse(argument: &str) -> Result<CommonDuration, ConfigError> {
        let pieces: Vec<&str> = argument.split(':').collect();
        let (start, end, unit) = match pieces[..] {
            [start, end] => (start, end, "ms"),
            [start, end, unit] => (start, end, unit),
            _ => {
                let message = format!("Invalid common duration configuration: {argument}.");
                return Err(ConfigError::new("", message));
            }
        };
        let unit = match unit {
            "ms" => Unit::Millis,
            "us" => Unit::Micros,
            "ns" => Unit::Nanos,
            _ => {
                return Err(ConfigError::new(
                    "",
                    format!("Invalid common duration precision: {unit}."),
                ));
            }
        };
        Ok(CommonDuration {
            start: Point::parse(start)?,
            end: Point::parse(end)?,
            unit,
        })
    }

    pub(super) fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>) -> Written {
        let elapsed = self
            .start
            .of(cx.info)
            .and_then(|start| self.end.of(cx.info)?.checked_duration_since(start));
        match elapsed {
            None => Written::Nothing,
            Some(elapsed) => {
                let count = match self.unit {
                    Unit::Millis => elapsed.as_millis(),
                    Unit::Micros => elapsed.as_micros(),
                    Unit::Nanos => elapsed.as_nanos(),
                };
                number(count as u64, out)
            }
        }
    }
}
