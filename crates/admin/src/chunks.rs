//! Long bodies: written by a blocking thread, sent by the admin thread, with little held in between.

use std::fmt;
use std::io;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::response::BodyWriter;

/// Bytes of one piece.
pub(crate) const CHUNK: usize = 32 * 1024;
/// Pieces that may wait for a slow client; then the writer waits.
const WAITING: usize = 2;

/// A body that is being written.
pub(crate) struct Chunks {
    pieces: mpsc::Receiver<String>,
    writer: JoinHandle<bool>,
}

impl Chunks {
    /// Begins to write. Dropping the result stops the writer.
    pub(crate) fn start(write: BodyWriter) -> Self {
        let (sender, pieces) = mpsc::channel(WAITING);
        let writer = tokio::task::spawn_blocking(move || {
            let mut out = ChunkWriter {
                sender,
                piece: String::new(),
            };
            write(&mut out).is_ok() && out.send().is_ok()
        });
        Self { pieces, writer }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The writer failed (it panicked): what was sent is not the whole body.
    pub(crate) async fn next(&mut self) -> io::Result<Option<String>> {
        match self.pieces.recv().await {
            Some(piece) => Ok(Some(piece)),
            None => match (&mut self.writer).await {
                Ok(true) => Ok(None),
                _ => Err(io::Error::other("the body could not be written")),
            },
        }
    }
}

struct ChunkWriter {
    sender: mpsc::Sender<String>,
    piece: String,
}

impl ChunkWriter {
    fn send(&mut self) -> fmt::Result {
        let piece = std::mem::take(&mut self.piece);
        if piece.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(piece).map_err(|_| fmt::Error)
    }
}

impl fmt::Write for ChunkWriter {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while self.piece.len() + text.len() > CHUNK {
            let at = text.floor_char_boundary(CHUNK.saturating_sub(self.piece.len()));
            self.piece.push_str(&text[..at]);
            text = &text[at..];
            self.send()?;
        }
        if self.piece.capacity() == 0 {
            self.piece.reserve(CHUNK);
        }
        self.piece.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn collect(mut chunks: Chunks) -> io::Result<Vec<String>> {
        let mut pieces = Vec::new();
        while let Some(piece) = chunks.next().await? {
            pieces.push(piece);
        }
        Ok(pieces)
    }

    #[tokio::test]
    async fn pieces_are_bounded_and_whole() {
        let text = "aä€😀".repeat(20_000);
        let copy = text.clone();
        let chunks = Chunks::start(Box::new(move |out| {
            out.write_str("x")?;
            out.write_str(&copy)?;
            out.write_str("")
        }));
        let pieces = collect(chunks).await.unwrap();
        assert!(
            pieces
                .iter()
                .all(|piece| !piece.is_empty() && piece.len() <= CHUNK)
        );
        assert_eq!(pieces.concat(), format!("x{text}"));
        assert!(
            collect(Chunks::start(Box::new(|_| Ok(()))))
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test]
    async fn a_writer_waits_for_its_reader_and_ends_with_it() {
        let (told, mut ended) = mpsc::channel(1);
        let mut chunks = Chunks::start(Box::new(move |out| {
            let result = loop {
                if let Err(error) = writeln!(out, "more and more") {
                    break Err(error);
                }
            };
            let _ = told.blocking_send(());
            result
        }));
        assert_eq!(chunks.next().await.unwrap().unwrap().len(), CHUNK);
        drop(chunks);
        ended.recv().await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_no_end() {
        let chunks = Chunks::start(Box::new(|_| panic!("in a test")));
        assert!(collect(chunks).await.is_err());
    }
}
