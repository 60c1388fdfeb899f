//! Reading requests.

use std::future::poll_fn;
use std::io;
use std::time::SystemTime;

use nuncio_http::{Event, HeaderMap, Known};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Active, Connection, End};
use crate::own_stats::HttpSchema;

/// Bytes of one read.
const READ: usize = 16 * 1024;
/// Longest form in a request body; other bodies are not kept.
const MAX_FORM: usize = 64 * 1024;

impl Connection {
    /// Reads a request with its body. Its head is then in `self.message`, the answer is the body if it is a form.
    pub(super) async fn read_request(&mut self) -> Result<Vec<u8>, End> {
        self.seat.idle_since.set(Some(Instant::now()));
        let mut deadline = None;
        let mut form = Vec::new();
        loop {
            match self.decoder.decode(&mut self.input, &mut self.message) {
                Err(error) => return Err(End::Malformed(error)),
                Ok(Some(event)) => {
                    if matches!(event, Event::Headers { .. }) {
                        self.begin(event.is_end()).await?;
                    }
                    self.take_body(&mut form)?;
                    if event.is_end() {
                        return Ok(form);
                    }
                }
                Ok(None) => {
                    if self.active.is_none() && self.decoder.is_idle() && self.input.is_empty() {
                        self.wait_for_request().await?;
                    } else {
                        let until = *deadline
                            .get_or_insert_with(|| Instant::now() + self.shared.limits.request);
                        match timeout_at(until, self.read()).await {
                            Ok(read) => read?,
                            Err(_) => return Err(End::Slow),
                        }
                    }
                    self.seat.idle_since.set(None);
                }
            }
        }
    }

    /// The head is complete.
    async fn begin(&mut self, complete: bool) -> io::Result<()> {
        self.active = Some(Active {
            started: (Instant::now(), SystemTime::now()),
            received: 0,
            sent: 0,
        });
        self.shared.stats.request_begun();
        if self.decoder.facts().expect_continue && !complete {
            let mut headers = HeaderMap::new();
            headers.set_status(100);
            self.encoder
                .encode_informational(&self.decoder.facts(), &headers, &mut self.output);
            self.flush().await?;
        }
        Ok(())
    }

    /// Takes what came of the body: a form is kept, anything else is not wanted.
    fn take_body(&mut self, form: &mut Vec<u8>) -> Result<(), End> {
        let data = &mut self.message.data;
        if let Some(active) = &mut self.active {
            active.received += data.len() as u64;
        }
        let content_type = self.message.headers.get(Known::ContentType);
        if content_type == Some(b"application/x-www-form-urlencoded") {
            if form.len() + data.len() > MAX_FORM {
                return Err(End::TooLarge);
            }
            form.extend_from_slice(data);
        }
        data.clear();
        Ok(())
    }

    async fn wait_for_request(&mut self) -> Result<(), End> {
        let (seat, limit) = (self.seat.clone(), self.shared.limits.idle);
        tokio::select! {
            read = timeout(limit, self.read()) => match read {
                Ok(read) => Ok(read?),
                Err(_) => Err(End::Idle),
            },
            () = seat.evicted.notified() => Err(End::Idle),
        }
    }

    /// Reads something.
    pub(super) async fn read(&mut self) -> io::Result<()> {
        let (stream, input) = (&mut self.stream, &mut self.input);
        let read = poll_fn(|cx| stream.poll_read(cx, input, READ)).await?;
        let counter = HttpSchema::DOWNSTREAM_CX_RX_BYTES_TOTAL;
        self.shared.stats.http.add(counter, read as u64);
        match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
