//! Resolves the names of endpoints, and lets only permitted addresses through: the address that is checked is the
//! one that is connected to, so a name cannot be bound anew in between.
//!
//! Looking up takes no thread and ends with its request. Each account has a bound of its own, so that names whose servers
//! are silent delay nobody else. Answers are remembered for as long as they say.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    system_conf::read_system_conf,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::failure::{ResolveError, is_fault_of_ours};
use crate::{
    domain::{address::AddressPolicy, id::AccountId},
    reload::Reloaded,
    shares::Shares,
};

/// How many names one account looks up at once.
const LOOKUPS_OF_ACCOUNT_MAX: usize = 16;
/// How many answers are remembered.
const ANSWERS_MAX: u64 = 8_192;
/// For how long an answer is remembered at most, and one that there is no such name.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(3_600);
const NO_SUCH_NAME_AGE_MAX: Duration = Duration::from_secs(10);
/// How many queries wait for one name server at once.
const QUERIES_MAX: usize = 4_096;
/// How often a question is repeated that is not answered.
const REPEATS: usize = 1;
/// Where names and name servers are configured; read again when they change.
const SYSTEM_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

tokio::task_local! {
    /// Whose request a name is looked up for.
    pub static LOOKING_FOR: AccountId;
}

/// The guarded resolver.
pub struct GuardedResolver {
    policy: Arc<AddressPolicy>,
    resolver: Arc<Reloaded<TokioResolver>>,
    of_account: Shares<AccountId>,
    timeout: Duration,
}

impl GuardedResolver {
    /// A resolver that asks these name servers, or those of the system where none are named. A look-up takes less than the
    /// time to connect, so that it is told what took so long.
    pub fn new(policy: AddressPolicy, servers: Vec<SocketAddr>, connect_timeout: Duration) -> Result<Self, String> {
        let timeout = connect_timeout * 4 / 5;
        let files: Vec<PathBuf> = SYSTEM_FILES.map(PathBuf::from).to_vec();
        let read = move || resolver(&servers, timeout);
        Ok(Self {
            policy: Arc::new(policy),
            resolver: Reloaded::start("names and name servers", files, read)?,
            of_account: Shares::new(LOOKUPS_OF_ACCOUNT_MAX),
            timeout,
        })
    }
}

fn resolver(servers: &[SocketAddr], timeout: Duration) -> Result<TokioResolver, String> {
    // As the system does it, a machine without a configuration asks itself.
    let (config, mut options) = read_system_conf().unwrap_or_else(|error| {
        tracing::warn!(error = %error, "the system names no name servers; asking 127.0.0.1");
        (of_servers(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 53))], None), ResolverOpts::default())
    });
    let config = if servers.is_empty() { config } else { of_servers(servers, Some(&config)) };
    options.timeout = options.timeout.min(timeout / 2);
    options.attempts = REPEATS;
    options.cache_size = ANSWERS_MAX;
    options.positive_max_ttl = Some(ANSWER_AGE_MAX);
    options.negative_max_ttl = Some(NO_SUCH_NAME_AGE_MAX);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Always;
    options.max_active_requests = QUERIES_MAX;
    let builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
    builder.build().map_err(|error| format!("names cannot be looked up: {error}"))
}

/// These name servers, with the search domains of another configuration.
fn of_servers(servers: &[SocketAddr], like: Option<&ResolverConfig>) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = address.port();
            connection
        });
        NameServerConfig::new(address.ip(), true, connections.to_vec())
    };
    let domain = like.and_then(|config| config.domain().cloned());
    let search = like.map(|config| config.search().to_vec()).unwrap_or_default();
    ResolverConfig::from_parts(domain, search, servers.iter().map(server).collect())
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let share = LOOKING_FOR.try_with(|account| self.of_account.of(account)).ok();
        let (policy, resolver, timeout) = (Arc::clone(&self.policy), self.resolver.get(), self.timeout);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let _place = match share {
                Some(share) => share.take().await,
                None => None,
            };
            let found: Vec<IpAddr> = match tokio::time::timeout(timeout, resolver.lookup_ip(host.as_str())).await {
                Ok(Ok(found)) => found.iter().collect(),
                Ok(Err(error)) if is_fault_of_ours(&error) => {
                    return Err(ResolveError::Internal(error.to_string()).into());
                }
                Ok(Err(error)) => return Err(ResolveError::Lookup(error.to_string()).into()),
                Err(_) => {
                    let message = format!("the name servers did not answer within {} ms", timeout.as_millis());
                    return Err(ResolveError::Lookup(message).into());
                }
            };
            let permitted: Vec<_> = found
                .into_iter()
                .filter(|address| policy.permits(*address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if permitted.is_empty() {
                return Err(ResolveError::Blocked(host).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}
