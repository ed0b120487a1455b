//! Resolves the names of endpoints, and lets only permitted addresses through: the address that is checked is the
//! one that is connected to, so a name cannot be bound anew in between.

use std::{fmt, net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::domain::address::AddressPolicy;

/// The guarded resolver.
pub struct GuardedResolver {
    /// Which addresses are permitted.
    pub policy: Arc<AddressPolicy>,
}

/// A name did not lead to an address that may be used.
#[derive(Debug)]
pub enum ResolveError {
    /// It could not be looked up.
    Lookup(std::io::Error),
    /// Every address is blocked.
    Blocked(String),
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::Lookup(error) => write!(f, "the host name could not be looked up: {error}"),
            ResolveError::Blocked(name) => {
                write!(f, "{name} leads only to private, local or otherwise special addresses")
            }
        }
    }
}

impl std::error::Error for ResolveError {}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await.map_err(ResolveError::Lookup)?;
            let permitted: Vec<SocketAddr> = found.filter(|address| policy.permits(address.ip())).collect();
            if permitted.is_empty() {
                return Err(ResolveError::Blocked(host).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}
