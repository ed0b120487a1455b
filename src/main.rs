//! The `hookline` binary: it only wires.

use std::{process::ExitCode, sync::Arc};

use actix::{Arbiter, System};
use clap::{CommandFactory, Parser};
use hookline::{
    app::{Application, Signals, StartError},
    cli::{
        self, CliError,
        command::{Cli, Command},
    },
    config::{LogFormat, ServeArgs},
    demo,
    telemetry::Telemetry,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

/// The many small, short-lived values of a stream of events cost it less than the system's allocator: see
/// `benches/pipeline.rs`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator's arenas would take whole huge pages for what a few values need: half of the memory of a server that
    // does nothing, and nothing gained where it works. Where it cannot be told, that is all it costs.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let cli = Cli::parse();
    // Fails only where a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match cli.command {
        Command::Serve(args) => with_arbiters(|arbiters| {
            told("info", args.log_format, async |telemetry| serve(*args, arbiters, telemetry).await)
        }),
        Command::Demo => with_arbiters(|arbiters| {
            told("error", LogFormat::Human, async |telemetry| demo::run(arbiters, telemetry).await)
        }),
        Command::Migrate(args) => with_arbiters(|_| {
            told("info", LogFormat::Human, async |_| {
                cli::database::migrate(args).await.map_err(|CliError(text)| StartError(text))
            })
        }),
        Command::Token(args) => cli::token::run(&args).map_err(|CliError(text)| StartError(text)),
        Command::Accounts { call, task } => in_runtime(cli::accounts::run(call, task)),
        Command::Webhooks { call, account, task } => in_runtime(cli::webhooks::run(call, account, task)),
        Command::Automations { call, account, task } => in_runtime(cli::automations::run(call, account, task)),
        Command::Executions { call, account, task } => in_runtime(cli::executions::run(call, account, task)),
        Command::Events { call, account, task } => in_runtime(cli::events::run(call, account, task)),
        Command::ConfirmClock { call } => in_runtime(cli::clock::run(call)),
        Command::Keys { call, task } => in_runtime(cli::keys::run(call, task)),
        Command::Backup(args) => in_runtime(cli::database::backup(args)),
        Command::Apply(args) => in_runtime(cli::apply::run(*args)),
        Command::Doctor(args) => in_runtime(cli::doctor::run(*args, &Cli::command())),
        Command::Health(args) => in_runtime(cli::health::run(*args)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "hookline", &mut std::io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hookline: {}", cli::show::visible(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

/// Runs with one arbiter a core over one shared runtime: actors on their arbiters' threads, all else on the pool.
fn with_arbiters<F>(run: impl FnOnce(Vec<actix::ArbiterHandle>) -> F) -> Result<(), StartError>
where
    F: Future<Output = Result<(), StartError>>,
{
    let failed = |error: std::io::Error| StartError(format!("the runtime could not be started: {error}"));
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?);
    let share = |runtime: &Arc<Runtime>| {
        let runtime = Arc::clone(runtime);
        move || runtime
    };
    let system = System::with_tokio_rt(share(&runtime));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let arbiters: Vec<_> = (0..cores).map(|_| Arbiter::with_tokio_rt(share(&runtime))).collect();
    let done = system.block_on(run(arbiters.iter().map(Arbiter::handle).collect()));
    for arbiter in arbiters {
        arbiter.stop();
        let _ = arbiter.join();
    }
    done
}

/// Runs a command for people: no actors, no log.
fn in_runtime(run: impl Future<Output = Result<(), CliError>>) -> Result<(), StartError> {
    let failed = |error: std::io::Error| StartError(format!("the runtime could not be started: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(run).map_err(|CliError(text)| StartError(text))
}

/// Runs with log lines and traces, which are stopped last.
async fn told(
    level: &str,
    format: LogFormat,
    run: impl AsyncFnOnce(&Telemetry) -> Result<(), StartError>,
) -> Result<(), StartError> {
    let telemetry = Telemetry::start(level, format).map_err(StartError)?;
    let done = run(&telemetry).await;
    telemetry.stop().await;
    done
}

async fn serve(args: ServeArgs, arbiters: Vec<actix::ArbiterHandle>, telemetry: &Telemetry) -> Result<(), StartError> {
    let application = Application::build(args).await?;
    let signals = Signals::default();
    // Before anybody is told that the process is there.
    listen_to_signals(signals.clone()).map_err(|error| StartError(format!("signals: {error}")))?;
    println!("listening on {}", application.address());
    println!("operations on http://{}/", application.operations_address());
    if let Some(url) = application.http_url() {
        println!("HTTP on {url}");
    }
    application.run_until_stopped(arbiters, telemetry, signals).await
}

/// The first SIGTERM or SIGINT stops the service in order, a second one ends the waiting.
fn listen_to_signals(signals: Signals) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for step in [signals.shutdown, signals.hurry] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            step.cancel();
        }
    });
    Ok(())
}
