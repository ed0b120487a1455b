//! The clients that requests go through: one for all endpoints, and for a while another for those whose connection was
//! given up, so that nothing new goes over it while what is under way may still end.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use reqwest::{Client, Url, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::Instant;

use super::{HttpConfig, resolver::GuardedResolver};

/// How long an idle connection is kept.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How many idle connections to one server are kept: outcomes are recorded in groups, so that many requests end and begin at
/// a time, and a connection that was closed meanwhile would be opened again.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// How often an HTTP/2 connection is asked whether anybody is there, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(4);
/// How many servers have a client of their own at once, and for how long.
const GIVEN_UP_MAX: usize = 1_024;
const GIVEN_UP_AGE_MAX: Duration = Duration::from_secs(600);

/// The clients.
pub struct Clients {
    resolver: Arc<GuardedResolver>,
    tls: ClientConfig,
    connect_timeout: Duration,
    shared: RwLock<Client>,
    given_up: Mutex<HashMap<String, Renewed>>,
}

struct Renewed {
    client: Client,
    at: Instant,
}

impl Clients {
    /// No redirects, no proxy, guarded name resolution.
    pub fn new(config: &HttpConfig) -> Result<Self, String> {
        let resolver =
            GuardedResolver::new(config.addresses.clone(), config.dns_servers.clone(), config.connect_timeout)?;
        let (resolver, tls) = (Arc::new(resolver), tls(config.ca_file.as_deref())?);
        let shared = client(&resolver, &tls, config.connect_timeout).map_err(|error| error.to_string())?;
        Ok(Self {
            resolver,
            tls,
            connect_timeout: config.connect_timeout,
            shared: RwLock::new(shared),
            given_up: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Renewed>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> Client {
        self.shared.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A client without any connection yet.
    pub fn renewed(&self) -> Option<Client> {
        let made = client(&self.resolver, &self.tls, self.connect_timeout);
        made.inspect_err(|error| tracing::error!(error = %error, "an HTTP client could not be made")).ok()
    }

    /// The client for a URL.
    pub fn of(&self, url: &Url) -> Client {
        let mut given_up = self.lock();
        if given_up.is_empty() {
            drop(given_up);
            return self.shared();
        }
        let origin = origin(url);
        match given_up.get(&origin) {
            Some(renewed) if renewed.at.elapsed() < GIVEN_UP_AGE_MAX => renewed.client.clone(),
            Some(_) => {
                given_up.remove(&origin);
                self.shared()
            }
            None => self.shared(),
        }
    }

    /// Nothing new goes over the connections to a server any more that were there when a request began.
    pub fn give_up(&self, url: &Url, begun: Instant) {
        let origin = origin(url);
        let mut given_up = self.lock();
        if given_up.get(&origin).is_some_and(|renewed| renewed.at >= begun) {
            return;
        }
        if given_up.len() >= GIVEN_UP_MAX
            && let Some(oldest) =
                given_up.iter().min_by_key(|(_, renewed)| renewed.at).map(|(origin, _)| origin.clone())
        {
            given_up.remove(&oldest);
        }
        if let Some(client) = self.renewed() {
            given_up.insert(origin, Renewed { client, at: Instant::now() });
        }
    }

    /// Closes every idle connection: the process has no files left.
    pub fn give_up_all(&self) {
        if let Some(client) = self.renewed() {
            *self.shared.write().unwrap_or_else(PoisonError::into_inner) = client;
            self.lock().clear();
        }
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Trusts the authorities of the system, and those of a file.
fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (mut added, _) = roots.add_parsable_certificates(found.certs);
    if let Some(path) = ca_file {
        added += add_authorities(&mut roots, path)
            .map_err(|error| format!("--endpoint-ca-file {}: {error}", path.display()))?;
    }
    if added == 0 {
        tracing::warn!("this machine trusts no certificate authority: no endpoint with https can be reached");
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Adds every certificate of a file in PEM, each of which must be one.
fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<usize, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let mut added = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| format!("certificate {}: {error}", added + 1))?;
        added += 1;
    }
    if added == 0 { Err("has no certificate: give authorities in PEM".to_owned()) } else { Ok(added) }
}

fn client(
    resolver: &Arc<GuardedResolver>,
    tls: &ClientConfig,
    connect_timeout: Duration,
) -> Result<Client, reqwest::Error> {
    Client::builder()
        .dns_resolver(Arc::clone(resolver))
        .tls_backend_preconfigured(tls.clone())
        .redirect(Policy::none())
        .no_proxy()
        // What may go out again, and how often, is for us to say.
        .retry(reqwest::retry::never())
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .user_agent(concat!("hookline/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .build()
}
