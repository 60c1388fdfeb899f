//! A client: sends what it is told, reads what comes.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};

use crate::{Body, Message, Wire};

/// A connection to a proxy. What a [`Wire`] can do, it can, too.
#[derive(Debug)]
pub struct Client(Wire);

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        match Client::try_connect(address) {
            Ok(client) => client,
            Err(error) => panic!("connecting to {address}: {error}"),
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        Wire::new(TcpStream::connect(address)?).map(Client)
    }

    /// The head of a GET request.
    pub fn get_bytes(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")
    }

    /// Asks for a path and reads the whole response.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Message {
        match self.try_get(path) {
            Ok(response) => response,
            Err(error) => panic!("GET {path}: {error}"),
        }
    }

    /// Asks for a path and reads the whole response.
    ///
    /// # Errors
    /// When the connection ends before the response does.
    pub fn try_get(&mut self, path: &str) -> io::Result<Message> {
        self.send(Client::get_bytes(path))?;
        self.message(Body::Response)
    }

    /// Reads the next response.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn response(&mut self) -> Message {
        match self.message(Body::Response) {
            Ok(response) => response,
            Err(error) => panic!("no response: {error}"),
        }
    }

    /// The connection itself.
    pub fn into_wire(self) -> Wire {
        self.0
    }
}

impl Deref for Client {
    type Target = Wire;
    fn deref(&self) -> &Wire {
        &self.0
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.0
    }
}
