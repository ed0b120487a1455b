//! The description of the wire format, as the binary carries it.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

use super::pb;

/// Every service and message of ours.
pub static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap_or_default());
