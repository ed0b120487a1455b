//! What every port that speaks HTTP/2 asks of a connection.

use std::time::Duration;

/// How often a silent client is asked whether it is still there.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to answer.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How large the head of a request may be.
pub const HEAD_BYTES_MAX: u32 = 16 * 1024;
/// How many bytes of one stream a client may send ahead of what is read.
pub const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// How many of all streams of a connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// How many bytes of one answer wait for a client that does not read.
pub const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
