//! The whole interface over real sockets.

mod client;
mod clients;
mod config;
mod fixture;
mod large;
mod paths;
mod stats;
