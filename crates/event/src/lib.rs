//! Dispatcher, workers, thread-local slots, timers and clocks.
