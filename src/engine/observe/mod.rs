//! What the engine shows of itself: what it counts, what is read of it, and its traces.

pub mod gauges;
pub mod tally;
pub mod traces;
