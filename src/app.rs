//! Puts the parts together: waits for the database's lock, opens the store, starts the engine, serves the port, and
//! ends in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix::ArbiterHandle;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::server::TcpIncoming;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    config::ServeArgs,
    domain::{address::AddressPolicy, decision::Rules, retry::Schedule, url::UrlPolicy},
    engine::{Engine, EngineConfig, HttpConfig},
    grpc::{Api, Authenticator, Doors, SERVICE_NAMES, UNACKED_BYTES_OF_ALL_MAX},
    keys::Keys,
    store::{Location, Lock, Sealer, Store},
    telemetry::Spans,
};

/// How long a window of executions is.
const WINDOW_LENGTH_MS: u64 = 600_000;

/// What can keep the service from starting, in words for the person who starts it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

fn start_error(what: &str, error: &dyn std::error::Error) -> StartError {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(found) = cause {
        text = format!("{text}: {found}");
        cause = found.source();
    }
    StartError(text)
}

/// The service, ready to run.
pub struct Application {
    listener: TcpListener,
    address: SocketAddr,
    args: ServeArgs,
    location: Location,
    keys: Keys,
}

impl Application {
    /// Checks the configuration, reads the keys and takes the port.
    pub async fn build(args: ServeArgs) -> Result<Self, StartError> {
        let has_keys = args.keys.signing_key_file.is_some() && args.keys.sealing_key_file.is_some();
        if !args.listen.ip().is_loopback() && !has_keys {
            return Err(StartError(format!(
                "listening on {} needs keys of your own: give --signing-key-file and --sealing-key-file \
                 (each made with `head -c 32 /dev/urandom | base64`), or listen on the loopback",
                args.listen
            )));
        }
        let location = Location::parse(&args.database.database).map_err(StartError)?;
        let keys = Keys::load(&args.keys, &location).map_err(StartError)?;
        let listener = TcpListener::bind(args.listen)
            .await
            .map_err(|error| start_error(&format!("the port {} could not be taken", args.listen), &error))?;
        let address = listener.local_addr().map_err(|error| start_error("the port has no address", &error))?;
        Ok(Self { listener, address, args, location, keys })
    }

    /// The address of the gRPC port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until `shutdown` is cancelled or the database's lock is lost.
    pub async fn run_until_stopped(
        self,
        arbiters: Vec<ArbiterHandle>,
        spans: Spans,
        shutdown: CancellationToken,
    ) -> Result<(), StartError> {
        let doors = Doors::default();
        let (health, health_service) = tonic_health::server::health_reporter();
        report(&health, ServingStatus::NotServing).await;
        let closing = CancellationToken::new();
        let listener = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let router = doors.router(health_service);
        let server = tokio::spawn(router.serve_with_incoming_shutdown(listener, closing.clone().cancelled_owned()));
        let lock = tokio::select! {
            lock = Lock::acquire(&self.location) => lock.map_err(|error| start_error("the database's lock", &error))?,
            () = shutdown.cancelled() => return Ok(()),
        };
        let store = Store::open(&self.location, Sealer::new(self.keys.sealing))
            .await
            .map_err(|error| start_error("the database", &error))?;
        let urls = UrlPolicy {
            allow_http: self.args.allow_http,
            addresses: AddressPolicy { allowed: self.args.allow_addresses.clone() },
        };
        let engine = Engine::start(store.clone(), engine_config(&self.args, &urls), arbiters, spans.clone())
            .map_err(StartError)?;
        let stopping = CancellationToken::new();
        let streams = TaskTracker::new();
        let api = Api {
            engine: engine.clone(),
            store,
            room: Arc::new(Semaphore::new(UNACKED_BYTES_OF_ALL_MAX)),
            spans,
            auth: Authenticator::new(&self.keys.signing),
            urls,
            stopping: stopping.clone(),
            tasks: streams.clone(),
        };
        doors.open(api).map_err(|error| start_error("the services", &error))?;
        report(&health, ServingStatus::Serving).await;
        tracing::info!(server.address = %self.address, "serving");
        let lost = tokio::select! {
            () = shutdown.cancelled() => false,
            () = lock.lost() => true,
        };
        if lost {
            return Err(StartError("the database's lock was lost: another process may write now".to_owned()));
        }
        tracing::info!("shutting down");
        report(&health, ServingStatus::NotServing).await;
        stopping.cancel();
        streams.close();
        let grace = Duration::from_millis(self.args.shutdown_grace_ms);
        let drained = async {
            streams.wait().await;
            closing.cancel();
            let _ = server.await;
            engine.all_landed().await;
        };
        if tokio::time::timeout(grace, drained).await.is_err() {
            tracing::warn!(
                requests = engine.requests_in_flight(),
                "the grace period is over; what is under way is sent again after the next start"
            );
        }
        drop(lock);
        Ok(())
    }
}

/// Tells who asks for the health of the port, or of one service, how it is.
async fn report(health: &HealthReporter, status: ServingStatus) {
    for service in ["", tonic_health::pb::health_server::SERVICE_NAME].iter().chain(&SERVICE_NAMES) {
        health.set_service_status(service, status).await;
    }
}

fn engine_config(args: &ServeArgs, urls: &UrlPolicy) -> EngineConfig {
    EngineConfig {
        rules: Rules {
            body_bytes_max: usize::try_from(args.body_bytes_max).unwrap_or(usize::MAX),
            window_length_ms: WINDOW_LENGTH_MS,
            schedule: Schedule { delays_ms: args.retry_delays_ms.clone() },
        },
        http: HttpConfig {
            deadline: Duration::from_millis(args.request_deadline_ms),
            connect_timeout: Duration::from_millis(args.connect_timeout_ms),
            addresses: urls.addresses.clone(),
        },
        requests_in_flight_max: args.requests_in_flight_max.into(),
        idle_after: Duration::from_millis(args.account_idle_ms),
    }
}
