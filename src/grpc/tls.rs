//! TLS for the port: each connection is accepted with the certificates as they are now.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;

use crate::reload::Reloaded;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many handshakes are under way at once.
const HANDSHAKES_MAX: usize = 256;
/// How many connections wait to be taken.
const CONNECTIONS_WAITING_MAX: usize = 64;
/// How long to wait after a connection could not be accepted: the process may have too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the certificates are, in PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates that clients must have, if they must have any.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    fn paths(&self) -> Vec<PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_ca).cloned().collect()
    }

    /// Whether the files are what they must be.
    pub fn check(&self) -> Result<(), String> {
        self.read().map(drop)
    }

    fn read(&self) -> Result<ServerConfig, String> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| format!("{}: no private key in PEM: {error}", self.key.display()))?;
        let builder = match &self.client_ca {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                let verifier = verifier.map_err(|error| format!("{}: {error}", path.display()))?;
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| format!("{} and {}: {error}", self.certificate.display(), self.key.display()))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| format!("{}: no certificates in PEM: {error}", path.display()))?;
    if found.is_empty() { Err(format!("{}: no certificate in it", path.display())) } else { Ok(found) }
}

/// The connections of a port whose handshakes are done.
pub type TlsIncoming = ReceiverStream<std::io::Result<TlsStream<TcpStream>>>;

/// Accepts connections over TLS. The files are read again when they change.
pub fn incoming(listener: TcpListener, files: TlsFiles) -> Result<TlsIncoming, String> {
    let config = Reloaded::start("the certificates of the port", files.paths(), move || files.read())?;
    let (sender, receiver) = mpsc::channel(CONNECTIONS_WAITING_MAX);
    tokio::spawn(accept(listener, config, sender));
    Ok(ReceiverStream::new(receiver))
}

async fn accept(
    listener: TcpListener,
    config: Arc<Reloaded<ServerConfig>>,
    taken: mpsc::Sender<std::io::Result<TlsStream<TcpStream>>>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = taken.closed() => return,
        };
        let socket = match connection {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = socket.set_nodelay(true);
        let (acceptor, taken) = (TlsAcceptor::from(config.get()), taken.clone());
        tokio::spawn(async move {
            let done = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await;
            drop(place);
            match done {
                Ok(Ok(stream)) => {
                    let _ = taken.send(Ok(stream)).await;
                }
                Ok(Err(error)) => tracing::debug!(error = %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }
}
