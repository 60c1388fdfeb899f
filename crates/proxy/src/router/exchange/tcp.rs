//! The end of a CONNECT tunnel: the client's bytes go to the upstream as they are, and the other way round.
//!
//! To the stream it looks like an exchange whose response is 200 and lasts until the upstream ends it (Envoy's `TcpUpstream`).

use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_upstream::{ClosedBy, PooledConnection};

use super::super::outcome::Reset;
use super::{Room, Step, Wire};

/// Reads grow from this …
const FIRST_READ: usize = 16 * 1024;
/// … to this while they come back full.
const LARGEST_READ: usize = 512 * 1024;

/// The tunnel.
pub(super) struct TcpExchange {
    connection: PooledConnection,
    pub(super) wire: Wire,
    /// The client has ended its side, and then the upstream was told.
    client_end: bool,
    half_closed: bool,
    /// The stream was told that there is a tunnel.
    started: bool,
    read_size: usize,
    /// The socket has said `Pending` since the task was woken.
    read_blocked: bool,
    write_blocked: bool,
}

impl TcpExchange {
    pub(super) fn begin(connection: PooledConnection, end: bool) -> TcpExchange {
        TcpExchange {
            connection,
            wire: Wire::default(),
            client_end: end,
            half_closed: false,
            started: false,
            read_size: FIRST_READ,
            read_blocked: false,
            write_blocked: false,
        }
    }

    pub(super) fn wake_up(&mut self) {
        self.read_blocked = false;
        self.write_blocked = false;
    }

    pub(super) fn send_data(&mut self, data: &mut Buffer, end: bool) {
        self.wire.sent += data.len() as u64;
        self.connection.write.append(data);
        self.client_end |= end;
    }

    /// A tunnel has no trailers; the request ends with them all the same.
    pub(super) fn send_trailers(&mut self, _: &HeaderMap) {
        self.client_end = true;
    }

    pub(super) fn unsent(&self) -> usize {
        self.connection.write.len()
    }

    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    pub(super) fn abandon(self, by: ClosedBy) {
        self.connection.close_with_active_request(by);
    }

    /// The upstream has ended its side: nobody will use the connection again.
    pub(super) fn finish(self) {
        self.connection.close_after_response(ClosedBy::Remote);
    }

    pub(super) fn step(
        &mut self,
        cx: &mut Context<'_>,
        room: Room,
        response: &mut Message,
    ) -> Step {
        if !self.started {
            self.started = true;
            response.headers.clear();
            response.headers.set_status(200);
            return Step::Event(Event::Headers { end_stream: false });
        }
        let mut moved = false;
        if !self.connection.write.is_empty() && !self.write_blocked {
            match self.connection.poll_write(cx, &mut Buffer::new()) {
                Poll::Ready(Ok(_)) => moved = true,
                Poll::Ready(Err(_)) => return self.gone(),
                Poll::Pending => self.write_blocked = true,
            }
        }
        if self.client_end && !self.half_closed && self.unsent() == 0 {
            // A failure is found by the next read.
            self.half_closed = self.connection.io.poll_shutdown_write(cx).is_ready();
        }
        let nothing = if moved { Step::Moved } else { Step::Wait };
        if room == Room::None || self.read_blocked {
            return nothing;
        }
        match self.connection.poll_read(cx, self.read_size) {
            // As in Envoy, what the pool ends has not come to its end.
            Poll::Ready(Ok(0)) => match self.connection.tunnel_closed_by() {
                ClosedBy::Remote => Step::Event(Event::Data { end_stream: true }),
                ClosedBy::Local => self.gone(),
            },
            Poll::Ready(Ok(read)) => {
                if read >= self.read_size {
                    self.read_size = (read * 4).min(LARGEST_READ);
                }
                self.wire.received += read as u64;
                response.data.append(&mut self.connection.read);
                Step::Event(Event::Data { end_stream: false })
            }
            Poll::Ready(Err(_)) => self.gone(),
            Poll::Pending => {
                self.read_blocked = true;
                nothing
            }
        }
    }

    fn gone(&self) -> Step {
        let by = self.connection.tunnel_closed_by();
        Step::Failed(Reset::ConnectionTermination, by)
    }
}
