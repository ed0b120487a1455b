//! Puts the parts together: waits for the database's lease, opens the store, starts the engine, serves the port, and
//! ends in order.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix::ArbiterHandle;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    config::{BoundArgs, KeyArgs, ServeArgs},
    domain::{
        account::Rules,
        address::AddressPolicy,
        attempt::retry_policy::Schedule,
        plan::{Limits, Plan, PlanLimits},
        url::UrlPolicy,
    },
    engine::{Engine, EngineConfig, HttpConfig},
    grpc::{
        Admission, Api, Authenticator, ByteBudget, CallBounds, Doors, READS_OF_ACCOUNT_AT_ONCE_MAX, SERVICE_NAMES,
        TokenRules, serve,
    },
    keys::{KeyFiles, Keys, SEALING_KEY_BYTES},
    operations::{self, Operations, Readiness},
    port::{Bounds, Files, Port, Protocols, Tls, TlsFiles},
    shares::Shares,
    store::{Lease, Location, Sealer, Store},
    telemetry::{Telemetry, chain},
    web::{self, Origin},
};

const DAY_MS: u64 = 86_400_000;
/// How often it is looked whether the database lets the process serve.
const READINESS_PERIOD: Duration = Duration::from_millis(250);
/// How long a commit may wait before the process says that it is not ready.
const COMMIT_WAIT_MAX: Duration = Duration::from_secs(10);
const STOPPING: &str = "not ready: stopping";
/// How long closing the database may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What can keep the service from starting, in words for the person who starts it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

fn start_error(what: &str, error: &dyn std::error::Error) -> StartError {
    StartError(format!("{what}: {}", chain(error)))
}

/// What tells the service to stop.
#[derive(Clone, Default)]
pub struct Signals {
    /// Stop in order.
    pub shutdown: CancellationToken,
    /// Do not wait for what is under way.
    pub hurry: CancellationToken,
}

/// The service, ready to run.
pub struct Application {
    listener: TcpListener,
    address: SocketAddr,
    operations_listener: TcpListener,
    operations_address: SocketAddr,
    http: Option<(TcpListener, SocketAddr)>,
    origins: Vec<Origin>,
    args: ServeArgs,
    location: Location,
    sealing: Vec<[u8; SEALING_KEY_BYTES]>,
    auth: Authenticator,
    plans: PlanLimits,
}

impl Application {
    /// Checks the configuration, reads the keys and takes the port.
    pub async fn build(args: ServeArgs) -> Result<Self, StartError> {
        let plans = check(&args)?;
        if tokened(&args).any(|address| !address.ip().is_loopback()) && args.tls_cert_file.is_none() {
            tracing::warn!("the port speaks no TLS: tokens travel in the clear unless a mesh or a proxy encrypts");
        }
        let origins = origins(&args)?;
        let location = Location::parse(&args.database.database).map_err(StartError)?;
        let keys = Keys::load(&key_files(&args.keys, &location)).map_err(StartError)?;
        let files = keys.signing.iter().chain(&args.keys.token_key_files).cloned().collect();
        let grace = Duration::from_millis(args.token_key_grace_ms);
        let auth = Authenticator::new(files, token_rules(&args.keys), grace).map_err(StartError)?;
        let (listener, address) = bind(args.listen, "--listen").await?;
        let (operations_listener, operations_address) = bind(args.operations_listen, "--operations-listen").await?;
        let http = match args.http_listen {
            Some(wanted) => Some(bind(wanted, "--http-listen").await?),
            None => None,
        };
        Ok(Self {
            listener,
            address,
            operations_listener,
            operations_address,
            http,
            origins,
            args,
            location,
            sealing: keys.sealing,
            auth,
            plans,
        })
    }

    /// The address of the gRPC port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the operations port.
    pub fn operations_address(&self) -> SocketAddr {
        self.operations_address
    }

    /// The URL of the HTTP port, where there is one.
    pub fn http_url(&self) -> Option<String> {
        let scheme = if self.args.tls_cert_file.is_some() { "https" } else { "http" };
        self.http.as_ref().map(|(_, address)| format!("{scheme}://{address}/"))
    }

    /// Runs until it is told to stop or another process has taken the database over.
    pub async fn run_until_stopped(
        self,
        arbiters: Vec<ArbiterHandle>,
        telemetry: &Telemetry,
        signals: Signals,
    ) -> Result<(), StartError> {
        let (spans, metrics) = (telemetry.spans.clone(), telemetry.metrics.clone());
        let readiness = Arc::<Readiness>::default();
        let files = Files::raised();
        let operations = Operations::new(telemetry.page.clone(), telemetry.level.clone(), Arc::clone(&readiness));
        let over = CancellationToken::new();
        let _over = over.clone().drop_guard();
        let port =
            Port { name: "operations", listener: self.operations_listener, bounds: operations::BOUNDS, tls: None };
        tokio::spawn(port.serve(operations.serve(), over));
        let doors = Doors::new(Admission::new(self.auth, call_bounds(&self.args.bounds)), metrics.clone());
        let (health, health_service) = tonic_health::server::health_reporter();
        report(&health, ServingStatus::NotServing).await;
        let closing = CancellationToken::new();
        let tls = |protocols| tls_files(&self.args, protocols).map(Tls::start).transpose().map_err(StartError);
        let bounds = port_bounds(&self.args.bounds, files, self.http.is_some());
        let streams_max = self.args.bounds.streams_of_connection_max;
        let port = Port { name: "grpc", listener: self.listener, bounds: bounds.clone(), tls: tls(Protocols::Http2)? };
        let served = serve(doors.router(health_service), streams_max);
        let mut servers = vec![tokio::spawn(port.serve(served, closing.clone()))];
        if let Some((listener, _)) = self.http {
            let port = Port { name: "http", listener, bounds, tls: tls(Protocols::Http)? };
            let router = web::router(&doors, &self.origins, self.args.tls_cert_file.is_some());
            servers.push(tokio::spawn(port.serve(web::serve(router, streams_max), closing.clone())));
        }
        let sealer = Sealer::new(&self.sealing).map_err(|error| start_error("the sealing keys", &error))?;
        let lease_length = Duration::from_millis(self.args.lease_ms);
        let lease = tokio::select! {
            lease = Lease::acquire(&self.location, lease_length) => {
                lease.map_err(|error| start_error("the database's lease", &error))?
            }
            () = signals.shutdown.cancelled() => return Ok(()),
        };
        let kept = lease.clone();
        tokio::spawn(async move { kept.keep().await });
        let store = match Store::open(&self.location, lease.clone(), sealer, self.args.migrate_yes, &metrics).await {
            Ok(store) => store,
            Err(error) => {
                // Whoever starts it with the right settings need not wait for the lease's end.
                lease.release().await;
                return Err(start_error("the database", &error));
            }
        };
        let urls = UrlPolicy {
            allow_http: self.args.allow_http,
            addresses: AddressPolicy { allowed: self.args.allow_addresses.clone() },
        };
        let config = engine_config(&self.args, &urls, self.plans, files);
        let rules = config.rules.clone();
        let engine =
            Engine::start(store.clone(), config, arbiters, spans.clone(), metrics.clone()).map_err(StartError)?;
        let stopping = CancellationToken::new();
        let streams = TaskTracker::new();
        let api = Api {
            engine: engine.clone(),
            store: store.for_people(),
            reads: Shares::new(READS_OF_ACCOUNT_AT_ONCE_MAX),
            budget: ByteBudget::default(),
            spans,
            metrics,
            urls,
            rules,
            watch_stall_max: Duration::from_millis(self.args.watch_stall_max_ms),
            stopping: stopping.clone(),
            tasks: streams.clone(),
        };
        doors.open(api).map_err(|error| start_error("the services", &error))?;
        report(&health, ServingStatus::Serving).await;
        let watched = tokio::spawn(watch_readiness(store.clone(), engine.clone(), Arc::clone(&readiness)));
        tracing::info!(
            server.address = %self.address,
            operations.address = %self.operations_address,
            database = %self.location,
            "serving"
        );
        let is_deposed = tokio::select! {
            () = signals.shutdown.cancelled() => false,
            () = lease.deposed() => true,
        };
        watched.abort();
        readiness.set(Err(STOPPING.to_owned()));
        if is_deposed {
            // It may neither answer nor send any more; what it has begun is the other's now.
            engine.stop_starting();
            stopping.cancel();
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, store.close()).await;
            return Err(StartError("another process has taken the database's lease over".to_owned()));
        }
        tracing::info!("shutting down; a second signal ends the waiting");
        report(&health, ServingStatus::NotServing).await;
        engine.stop_starting();
        stopping.cancel();
        streams.close();
        let grace = Duration::from_millis(self.args.shutdown_grace_ms);
        let drained = async {
            streams.wait().await;
            closing.cancel();
            for server in servers {
                let _ = server.await;
            }
            engine.all_landed().await;
        };
        let is_drained = tokio::select! {
            () = drained => true,
            () = tokio::time::sleep(grace) => false,
            () = signals.hurry.cancelled() => false,
        };
        if !is_drained {
            tracing::warn!(
                requests = engine.requests_in_flight(),
                "not waiting any longer; what is under way is sent again after the next start"
            );
        }
        if tokio::time::timeout(CLOSE_TIMEOUT, store.close()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
        lease.release().await;
        Ok(())
    }
}

/// Tells whoever asks for readiness how the database does.
async fn watch_readiness(store: Store, engine: Engine, readiness: Arc<Readiness>) {
    loop {
        let waited = store.oldest_wait();
        readiness.set(if !store.lease().is_held() {
            Err("not ready: the lease of the database has ended, and cannot be renewed yet".to_owned())
        } else if waited > COMMIT_WAIT_MAX {
            Err(format!("not ready: a commit has waited for {} s; the database is in trouble", waited.as_secs()))
        } else {
            Ok(engine.clock_doubt().map_or("ok".to_owned(), |why| {
                format!(
                    "ok, but the clock is not trusted: {why}. Nothing is deleted, disabled or ended by age for a day, or \
                     until `hookline confirm-clock`"
                )
            }))
        });
        tokio::time::sleep(READINESS_PERIOD).await;
    }
}

/// Checks what settings ask of each other. Answers the limits of the plans.
pub fn check(args: &ServeArgs) -> Result<PlanLimits, StartError> {
    let verifies = args.keys.signing_key_file.is_some() || !args.keys.token_key_files.is_empty();
    let has_own_keys = verifies && !args.keys.sealing_key_file.is_empty();
    if let Some(open) = tokened(args).find(|address| !address.ip().is_loopback())
        && !has_own_keys
    {
        return Err(StartError(format!(
            "listening on {open} needs keys of your own: give --sealing-key-file and one of --signing-key-file and \
             --token-key-files (a key is made with `head -c 32 /dev/urandom | base64`), or listen on the loopback"
        )));
    }
    origins(args)?;
    let is_leased = matches!(Location::parse(&args.database.database), Ok(Location::Postgres(_)));
    if is_leased && args.request_deadline_ms.saturating_mul(2) > args.lease_ms {
        return Err(StartError(format!(
            "--request-deadline-ms {} is more than half of --lease-ms {}: a request could outlast the right to send it; \
             lower the deadline or lengthen the lease",
            args.request_deadline_ms, args.lease_ms
        )));
    }
    plan_limits(args)
}

/// The addresses to which tokens are sent.
pub fn tokened(args: &ServeArgs) -> impl Iterator<Item = SocketAddr> {
    [args.listen].into_iter().chain(args.http_listen)
}

fn origins(args: &ServeArgs) -> Result<Vec<Origin>, StartError> {
    let of_text = |text: &String| text.parse().map_err(|error| StartError(format!("--http-allow-origins: {error}")));
    args.http_allow_origins.iter().map(of_text).collect()
}

async fn bind(wanted: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error: std::io::Error| {
        start_error(&format!("the port {wanted} could not be taken (choose another with {flag})"), &error)
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// What tokens must be like.
pub fn token_rules(args: &KeyArgs) -> TokenRules {
    TokenRules { audience: args.token_audience.clone(), issuer: args.token_issuer.clone() }
}

/// Where the keys of an installation are looked for.
pub fn key_files(args: &KeyArgs, location: &Location) -> KeyFiles {
    KeyFiles {
        signing: args.signing_key_file.clone(),
        has_issuer: !args.token_key_files.is_empty(),
        sealing: args.sealing_key_file.clone(),
        database: location.file().map(ToOwned::to_owned),
    }
}

fn tls_files(args: &ServeArgs, protocols: Protocols) -> Option<TlsFiles> {
    let (certificate, key) = (args.tls_cert_file.clone()?, args.tls_key_file.clone()?);
    Some(TlsFiles { certificate, key, client_ca: args.tls_client_ca_file.clone(), protocols })
}

/// What the gRPC port lets in, and the HTTP port beside it: never more connections than there are files for.
fn port_bounds(args: &BoundArgs, files: Files, are_two: bool) -> Bounds {
    let wanted = usize::from(args.connections_max);
    let most = if are_two { files.incoming / 2 } else { files.incoming };
    if wanted > most {
        tracing::warn!(
            connections_max = most,
            "the limit of open files is low: fewer connections are let in than --connections-max says"
        );
    }
    Bounds {
        connections_max: wanted.min(most),
        connections_of_address_max: usize::from(args.connections_of_address_max),
        oldest_goes_first: false,
        handshake_timeout: Duration::from_millis(args.handshake_timeout_ms),
        preface_timeout: Duration::from_millis(args.preface_timeout_ms),
        stranger_timeout: Duration::from_millis(args.stranger_timeout_ms),
        idle_timeout: Duration::from_millis(args.connection_idle_ms),
        progress_timeout: Duration::from_millis(args.progress_timeout_ms),
    }
}

fn call_bounds(args: &BoundArgs) -> CallBounds {
    CallBounds {
        calls_max: usize::from(args.calls_max),
        calls_of_caller_max: usize::from(args.calls_of_caller_max),
        receiving_bytes_max: args.receiving_bytes_max as usize,
        message_timeout: Duration::from_millis(args.message_timeout_ms),
        reflection: args.reflection,
    }
}

/// The limits of every plan. Automations begin with the second one.
fn plan_limits(args: &ServeArgs) -> Result<PlanLimits, StartError> {
    let lists = [
        ("--plan-executions", &args.plan_executions),
        ("--plan-active-automations", &args.plan_active_automations),
        ("--plan-automation-webhooks", &args.plan_automation_webhooks),
        ("--plan-requests-in-flight", &args.plan_requests_in_flight),
        ("--plan-retention-days", &args.plan_retention_days),
    ];
    for (flag, list) in lists {
        let is_of_every_plan = ["--plan-requests-in-flight", "--plan-retention-days"].contains(&flag);
        let wanted = if is_of_every_plan { Plan::ALL.len() } else { Plan::ALL.len() - 1 };
        if list.len() != wanted {
            return Err(StartError(format!("{flag} takes {wanted} numbers, one a plan; {} given", list.len())));
        }
    }
    Ok(PlanLimits(Plan::ALL.map(|plan| {
        let of = |list: &[u32]| (plan as usize).checked_sub(1).map_or(0, |at| list[at]);
        Limits {
            executions_per_window: of(&args.plan_executions),
            active_automations: of(&args.plan_active_automations),
            automation_webhooks: of(&args.plan_automation_webhooks),
            requests_in_flight: args.plan_requests_in_flight[plan as usize],
            retention_days: args.plan_retention_days[plan as usize],
        }
    })))
}

/// Tells who asks for the health of the port, or of one service, how it is. The service of health itself serves from
/// the start: that is what tells a process that waits from one that hangs.
async fn report(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status(tonic_health::pb::health_server::SERVICE_NAME, ServingStatus::Serving).await;
    // The whole comes last: it serves once each part does.
    for service in SERVICE_NAMES.iter().chain(&[""]) {
        health.set_service_status(service, status).await;
    }
}

fn engine_config(args: &ServeArgs, urls: &UrlPolicy, plans: PlanLimits, files: Files) -> EngineConfig {
    EngineConfig {
        rules: Rules {
            is_clock_trusted: true,
            plans,
            breaker_open_ms: args.breaker_open_ms,
            paused_max: args.paused_executions_max,
            waiting_max: args.waiting_executions_max,
            event_age_max_ms: args.event_age_max_ms,
            paused_age_max_ms: args.paused_age_max_ms,
            body_bytes_max: usize::try_from(args.body_bytes_max).unwrap_or(usize::MAX),
            window_length_ms: args.execution_window_ms,
            schedule: Schedule { delays_ms: args.retry_delays_ms.clone() },
        },
        http: HttpConfig {
            deadline: Duration::from_millis(args.request_deadline_ms),
            connect_timeout: Duration::from_millis(args.connect_timeout_ms),
            addresses: urls.addresses.clone(),
            dns_servers: args.dns_servers.clone(),
            ca_file: args.endpoint_ca_file.clone(),
        },
        requests_in_flight_max: usize::from(args.requests_in_flight_max).min(files.outgoing),
        audit_kept_ms: u64::from(args.audit_retention_days) * DAY_MS,
        misses_bytes_max: args.misses_bytes_max,
        recent_events_bytes_max: args.recent_events_bytes_max,
        idle_after: Duration::from_millis(args.account_idle_ms),
    }
}
