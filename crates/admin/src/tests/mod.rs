//! The whole interface over real sockets.

mod client;
mod clients;
mod fixture;
mod large;
mod paths;
