//! Listening: one accept loop for every port of the process. It bounds how many connections there are, in all and of one
//! address, and how long each may take to say something, before anybody is known.
//!
//! A connection is a *stranger* until a call on it was let in ([`Connection::trust`]). Where there is no place left, the
//! oldest stranger gives up its own; a known caller never does. So whoever floods a port drives out themself first.

mod calls;
mod connection;
mod connection_table;
mod files;
pub mod http2;
mod tls;
mod watched_io;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    calls::{HeldBody, RoutedCalls, TrackedBody},
    connection::Connection,
    files::{Files, files_of},
    tls::{Protocols, Tls, TlsFiles},
    watched_io::WatchedIo,
};
use self::{
    connection::Ended,
    connection_table::{ConnectionTable, Full},
};

/// How long to wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often it is asked for a place where every connection is new.
const CHANCE_PAUSE: Duration = Duration::from_millis(5);
/// How often a connection is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a connection that was told to end may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a port lets in. Each is a bound before a caller is known.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How many connections there are in all.
    pub connections_max: usize,
    /// How many connections there are of one address; of IPv6 one /64 counts as one.
    pub connections_of_address_max: usize,
    /// Whether anybody gives up their place for a new connection, not only strangers.
    pub oldest_goes_first: bool,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a connection may take to its first bytes, such as the preface of HTTP/2.
    pub preface_timeout: Duration,
    /// How long a stranger's connection may be without a call.
    pub stranger_timeout: Duration,
    /// How long a known caller's connection may be without a call.
    pub idle_timeout: Duration,
    /// How long a client may leave bytes or an answer unread.
    pub progress_timeout: Duration,
}

/// What serves one connection: it is polled until it ends, told to end in order, or dropped.
pub trait Serve: Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send {
    /// Ends in order: no further calls, those under way go on.
    fn goodbye(self: std::pin::Pin<&mut Self>);
}

/// A socket that speaks, over TLS where the port does.
pub type Io = WatchedIo<tls::MaybeTls>;

/// A port that was taken.
pub struct Port {
    /// What it is called in log lines.
    pub name: &'static str,
    /// The socket.
    pub listener: TcpListener,
    /// What it lets in.
    pub bounds: Bounds,
    /// Its certificates, where it speaks TLS.
    pub tls: Option<Tls>,
}

impl Port {
    /// Accepts connections until it is told to stop, then ends each in order and waits for that.
    pub async fn serve<S: Serve + 'static>(
        self,
        serve: impl Fn(Io, Connection) -> S + Clone + Send + Sync + 'static,
        stopped: CancellationToken,
    ) {
        let Self { name, listener, bounds, tls } = self;
        let bounds = Arc::new(bounds);
        let places = Arc::new(ConnectionTable::new(&bounds));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped.cancelled() => break,
            };
            let (socket, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(port = name, error = %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let taken = loop {
                match places.take(from) {
                    // The others wait in the system's queue.
                    Err(Full::NewOnes) => tokio::time::sleep(CHANCE_PAUSE).await,
                    taken => break taken,
                }
            };
            let connection = match taken {
                Ok(connection) => connection,
                Err(full) => {
                    refuse(name, from, full);
                    continue;
                }
            };
            let _ = socket.set_nodelay(true);
            let (serve, bounds, tls, stopped) = (serve.clone(), Arc::clone(&bounds), tls.clone(), stopped.clone());
            connections.spawn(async move {
                let ended = one(socket, connection, &bounds, tls, serve, stopped).await;
                tracing::debug!(port = name, client.address = %from, end = ended.as_str(), "a connection ended");
            });
        }
        connections.close();
        connections.wait().await;
    }
}

fn refuse(port: &'static str, from: SocketAddr, full: Full) {
    let bound = match full {
        Full::All | Full::NewOnes => "connections_max",
        Full::Address => "connections_of_address_max",
    };
    tracing::debug!(port, client.address = %from, bound, "a connection was refused: the bound is reached");
}

/// Serves one connection until it ends, is told to, or takes too long over something.
async fn one<S: Serve>(
    socket: TcpStream,
    connection: Connection,
    bounds: &Bounds,
    tls: Option<Tls>,
    serve: impl Fn(Io, Connection) -> S,
    stopped: CancellationToken,
) -> Ended {
    let evicted = connection.evicted();
    let handshake = tokio::time::timeout(bounds.handshake_timeout, tls::accept(socket, tls));
    let stream = tokio::select! {
        () = evicted.cancelled() => return Ended::Evicted,
        () = stopped.cancelled() => return Ended::Stopped,
        done = handshake => match done {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "a TLS handshake failed");
                return Ended::Handshake;
            }
            Err(_) => return Ended::Handshake,
        },
    };
    let io = WatchedIo::new(stream, connection.clone());
    connection.is_set_up();
    let mut serving = std::pin::pin!(serve(io, connection.clone()));
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_ending = false;
    let mut ends_at: Option<Instant> = None;
    loop {
        tokio::select! {
            done = &mut serving => {
                if let Err(error) = done {
                    tracing::debug!(error = %error, "a connection ended badly");
                }
                return Ended::Closed;
            }
            () = evicted.cancelled() => return Ended::Evicted,
            () = stopped.cancelled(), if !is_ending => {
                is_ending = true;
                serving.as_mut().goodbye();
            }
            now = looks.tick() => {
                if let Some(slow) = connection.look(now, bounds) {
                    if !matches!(slow, Ended::Idle | Ended::Unread) {
                        return slow;
                    }
                    if ends_at.is_none() {
                        ends_at = Some(now + GOODBYE_TIMEOUT);
                        serving.as_mut().goodbye();
                    }
                }
                if ends_at.is_some_and(|end| now >= end && connection.calls() == 0) {
                    return Ended::Idle;
                }
            }
        }
    }
}
