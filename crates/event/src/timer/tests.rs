use super::*;
use std::future::poll_fn;
