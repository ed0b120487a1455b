//! Calls on the wire: how they come in, how large they may be, and what errors look like.

pub mod bounds;
pub mod byte_budget;
pub mod codec;
pub mod json;
pub mod measured;
pub mod receiving;
pub mod status;
