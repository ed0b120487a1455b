//! The wire format, made from `proto/`.

tonic::include_proto!("hookline.v1");

/// The encoded description of the wire format, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hookline.bin"));
