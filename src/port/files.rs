//! The files that the process may have open: sockets are files, and whoever connects must not take those that requests
//! to endpoints need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files the process itself needs: the database's connections, its log, timers, the ports.
const FILES_OF_OUR_OWN: usize = 56;
/// How many there must be for each of the two kinds of connections in any case.
const FILES_OF_EACH_MIN: usize = 8;

/// How many files there are for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    /// For connections that come in.
    pub incoming: usize,
    /// For requests to endpoints.
    pub outgoing: usize,
}

impl Files {
    /// Raises the process's limit to what it may be, and divides it.
    pub fn raised() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if limit.current != limit.maximum
            && let Err(error) = setrlimit(Resource::Nofile, wanted)
        {
            tracing::warn!(error = %error, "the limit of open files could not be raised");
        }
        files_of(getrlimit(Resource::Nofile).current)
    }
}

/// Divides so many files: half of what the process does not need itself is for those who connect.
pub fn files_of(limit: Option<u64>) -> Files {
    let all = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let half = (all.saturating_sub(FILES_OF_OUR_OWN) / 2).max(FILES_OF_EACH_MIN);
    Files { incoming: half, outgoing: half }
}

#[cfg(test)]
#[path = "tests/files.rs"]
mod tests;
