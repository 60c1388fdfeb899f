//! The application log: Envoy's components, levels and line format behind the [`log`] facade.
//!
//! Code logs with `log::info!` and its like. The record's target decides its component: Nuncio's modules stand for
//! the components that Envoy would log under (`nuncio_upstream::…` → `upstream`), and a target that is a
//! component's name stands for itself (`log::debug!(target: "pool", …)`). Levels are per component and can be
//! changed while the program runs; while no component logs at a level, a call at that level costs one relaxed load.
//!
//! [`install`] makes this log the program's; the [`AppLog`] that it returns is what the admin interface and signal
//! handlers hold.

mod component;
mod escape;
mod fine_grain;
mod level;
mod logger;
mod pattern;
mod sink;

pub use component::{Component, UnknownComponent};
pub use fine_grain::Files;
pub use level::{Level, UnknownLevel};
pub use logger::{AppLog, InstallError, Options, install, parse_component_levels};
pub use pattern::{DEFAULT_PATTERN, FINE_GRAIN_PATTERN, Pattern};

/// Logs at the level `critical`, which [`log`] does not have: `critical!("main", "cannot go on: {reason}")`.
#[macro_export]
macro_rules! critical {
    ($component:literal, $($arguments:tt)+) => {
        $crate::private::log::error!(target: ::core::concat!("critical:", $component), $($arguments)+)
    };
}

#[doc(hidden)]
pub mod private {
    //! What [`critical!`](crate::critical) needs.
    pub use log;
}
