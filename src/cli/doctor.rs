//! `hookline doctor`: looks at the configuration, the keys, the database, the clock and the certificates of an
//! installation without changing anything, and says what to do.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use rustix::fs::{Access, access};
use x509_cert::Certificate;

use super::CliError;
use crate::{
    app::{self, key_files},
    config::ServeArgs,
    domain::timestamp::Timestamp,
    keys::{Keys, SEALING_KEY_BYTES},
    port::{Protocols, TlsFiles},
    store::{Examination, Location, Sealer},
    telemetry::chain,
};

/// How far clocks may be apart.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5);
/// When a certificate's end is worth a warning.
const EXPIRY_WARNING_DAYS: i64 = 21;
/// How long the database may take to be reached.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(15);
const DAY_SECONDS: i64 = 86_400;
/// Before this time, in seconds, no clock is right: 2026-01-01.
const CLOCK_MIN: i64 = 1_767_225_600;

/// The settings to look at: those of `hookline serve`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// The settings.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

/// What was found.
#[derive(Debug, Default)]
struct Findings(Vec<(Verdict, &'static str, String)>);

impl Findings {
    fn ok(&mut self, what: &'static str, text: impl Into<String>) {
        self.0.push((Verdict::Ok, what, text.into()));
    }

    fn warn(&mut self, what: &'static str, text: impl Into<String>) {
        self.0.push((Verdict::Warning, what, text.into()));
    }

    fn fail(&mut self, what: &'static str, text: impl Into<String>) {
        self.0.push((Verdict::Failed, what, text.into()));
    }

    fn count(&self, wanted: Verdict) -> usize {
        self.0.iter().filter(|(verdict, ..)| *verdict == wanted).count()
    }
}

/// Looks, and prints what it finds; an error where something would keep the service from working.
/// `command` knows every setting.
pub async fn run(args: DoctorArgs, command: &clap::Command) -> Result<(), CliError> {
    let args = args.serve;
    let mut found = Findings::default();
    configuration(&args, &mut found);
    look_at_variables(command, &mut found);
    if let Ok(location) = Location::parse(&args.database.database) {
        let sealing = look_at_keys(&args, &location, &mut found);
        look_at_files(&location, &mut found);
        look_at_database(&location, sealing, &mut found).await;
    }
    certificates(&args, &mut found);
    for (verdict, what, text) in &found.0 {
        let word = match verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warning => "warn",
            Verdict::Failed => "FAIL",
        };
        println!("{word}  {what:<14} {text}");
    }
    match (found.count(Verdict::Failed), found.count(Verdict::Warning)) {
        (0, 0) => Ok(()),
        (0, warnings) => {
            println!("nothing is wrong, {warnings} to think about");
            Ok(())
        }
        (failed, _) => Err(CliError::new(format!("{failed} of {} checks failed", found.0.len()))),
    }
}

fn configuration(args: &ServeArgs, found: &mut Findings) {
    match app::check(args) {
        Ok(_) => {
            let http = args.http_listen.map(|address| format!(", HTTP on {address}")).unwrap_or_default();
            let text = format!("listens on {}{http}, operations on {}", args.listen, args.operations_listen);
            found.ok("configuration", text);
        }
        Err(error) => found.fail("configuration", error.0),
    }
    if let Err(error) = Location::parse(&args.database.database) {
        found.fail("configuration", format!("--database: {error}"));
    }
    if args.allow_http || !args.allow_addresses.is_empty() {
        let text = "requests may go to plain http or private addresses (--allow-http, --allow-addresses)";
        found.warn("configuration", text);
    }
    if app::tokened(args).any(|address| !address.ip().is_loopback()) && args.tls_cert_file.is_none() {
        found.warn("configuration", "the port speaks no TLS: tokens travel in the clear unless a mesh encrypts");
    }
    if !args.operations_listen.ip().is_loopback() {
        found.warn("configuration", "the operations port needs no token: let only your operators' network reach it");
    }
}

/// The keys, without making any. Answers the one that seals.
fn look_at_keys(args: &ServeArgs, location: &Location, found: &mut Findings) -> Option<Vec<[u8; SEALING_KEY_BYTES]>> {
    let files = key_files(&args.keys, location);
    let local: Vec<PathBuf> = [
        args.keys.sealing_key_file.is_empty().then(|| files.local("sealing")),
        (args.keys.signing_key_file.is_none() && args.keys.token_key_files.is_empty()).then(|| files.local("signing")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let missing: Vec<_> = local.iter().filter(|path| !path.exists()).map(|path| path.display().to_string()).collect();
    if !missing.is_empty() {
        let text = format!("{} will be made at the first start; keep copies", missing.join(" and "));
        match location {
            Location::Sqlite(path) if path.exists() => {
                found.fail(
                    "keys",
                    format!("{} missing beside a database that exists: bring back the copies", missing.join(" and ")),
                );
            }
            _ => found.ok("keys", text),
        }
        return None;
    }
    let configured = args.keys.sealing_key_file.iter().chain(&args.keys.signing_key_file).cloned();
    for path in local.iter().cloned().chain(configured) {
        if is_open_to_others(&path) {
            found.warn("keys", format!("{} can be read by everybody: chmod 600 it", path.display()));
        }
    }
    match Keys::load(&files) {
        Ok(keys) => {
            let places = if local.is_empty() { "configured files" } else { "local files beside the database" };
            found.ok("keys", format!("can be read, from {places}"));
            for path in &args.keys.token_key_files {
                if let Err(error) = crate::grpc::check_key_file(path) {
                    found.fail("keys", error);
                }
            }
            Some(keys.sealing)
        }
        Err(error) => {
            found.fail("keys", error);
            None
        }
    }
}

fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o007 != 0)
}

/// Whether the service could write where it must.
fn look_at_files(location: &Location, found: &mut Findings) {
    let Location::Sqlite(path) = location else { return };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let lock = PathBuf::from(format!("{}.lock", path.display()));
    let existing = [path.as_path(), &lock].into_iter().filter(|path| path.exists());
    for place in [folder].into_iter().chain(existing) {
        if let Err(error) = access(place, Access::WRITE_OK) {
            found.fail("database", format!("{} cannot be written: {error}", place.display()));
        }
    }
}

/// Variables that look like settings and are none.
fn look_at_variables(command: &clap::Command, found: &mut Findings) {
    let commands = std::iter::once(command).chain(command.get_subcommands());
    let known: HashSet<_> =
        commands.flat_map(|command| command.get_arguments().filter_map(|one| one.get_env())).collect();
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HOOKLINE_") && !known.contains(name.as_os_str()) {
            found.warn("configuration", format!("{} is no setting: is it misspelled?", name.to_string_lossy()));
        }
    }
}

async fn look_at_database(location: &Location, sealing: Option<Vec<[u8; SEALING_KEY_BYTES]>>, found: &mut Findings) {
    let sealer = sealing.and_then(|keys| Sealer::new(&keys).ok());
    let looked = tokio::time::timeout(DATABASE_TIMEOUT, Examination::of(location, sealer.as_ref())).await;
    let examination = match looked {
        Err(_) => {
            let limit = DATABASE_TIMEOUT.as_secs();
            return found.fail("database", format!("did not answer within {limit} s: is it up, and not filtered?"));
        }
        Ok(Err(error)) => return found.fail("database", chain(&error)),
        Ok(Ok(None)) => {
            clock(None, found);
            return found.ok("database", format!("{location} does not exist yet; the first start makes it"));
        }
        Ok(Ok(Some(examination))) => examination,
    };
    if !examination.unknown.is_empty() {
        let newer = examination.unknown.join(", ");
        found
            .fail("database", format!("was written by a newer version ({newer}): start that one, or restore a backup"));
    } else if examination.pending.is_empty() {
        found.ok("database", format!("{location} can be reached, the schema is up to date"));
    } else {
        let pending = examination.pending.join(", ");
        found.warn("database", format!("{pending} to be made: the next start does it, or `hookline migrate`"));
    }
    if examination.has_log {
        let text = "was not closed in order: the next start takes in the log (-wal) beside it, which was not looked at";
        found.warn("database", format!("{text}; if the file was restored from a backup, remove -wal and -shm first"));
    }
    if let Some(damage) = examination.damage {
        let remedy = "stop the service, remove -wal and -shm files of another database, or restore a backup";
        found.fail("database", format!("the file is damaged ({damage}): {remedy}"));
    }
    match examination.is_locked {
        true => found.ok("lock", "a process holds it; a second one would wait"),
        false => found.ok("lock", "free: no process runs on this database"),
    }
    match examination.secrets {
        Some((_, 0)) => found.ok("sealing key", "opens the stored secrets that were tried, or there are none"),
        Some((opened, failed)) => found.fail(
            "sealing key",
            format!("opens {opened} of {} stored secrets: give the key that wrote them", opened + failed),
        ),
        None => {}
    }
    match examination.left {
        Some(0) | None => {}
        Some(left) => found.warn(
            "sealing key",
            format!("{left} values are sealed by another key than the first: run `hookline keys rotate`"),
        ),
    }
    clock(examination.time.filter(|_| matches!(location, Location::Postgres(_))), found);
    if let (Some(newest), Location::Sqlite(_)) = (examination.time, location)
        && newest > crate::clock::now().plus_ms(u64::try_from(CLOCK_SKEW_MAX.as_millis()).unwrap_or_default())
    {
        found.fail("clock", format!("is behind the newest entry of the database ({}): set it", newest.to_rfc3339()));
    }
}

/// Compares the clock with the database's, where that has one.
fn clock(database: Option<Timestamp>, found: &mut Findings) {
    let now = crate::clock::now();
    if now.seconds() < CLOCK_MIN {
        return found.fail("clock", format!("says {}: set it", now.to_rfc3339()));
    }
    let Some(database) = database else { return found.ok("clock", now.to_rfc3339()) };
    let apart = (now.seconds() - database.seconds()).unsigned_abs();
    if apart > CLOCK_SKEW_MAX.as_secs() {
        found.fail("clock", format!("is {apart} s away from the database's: synchronize both (NTP)"));
    } else {
        found.ok("clock", format!("{}, as the database's", now.to_rfc3339()));
    }
}

fn certificates(args: &ServeArgs, found: &mut Findings) {
    if let (Some(certificate), Some(key)) = (&args.tls_cert_file, &args.tls_key_file) {
        let client_ca = args.tls_client_ca_file.clone();
        let protocols = Protocols::Http;
        let files = TlsFiles { certificate: certificate.clone(), key: key.clone(), client_ca, protocols };
        match files.check() {
            Ok(()) => expiry("certificate", certificate, found),
            Err(error) => found.fail("certificate", error),
        }
    }
    if let Some(path) = &args.tls_client_ca_file {
        expiry("client CA", path, found);
    }
    let roots = rustls_native_certs::load_native_certs().certs.len();
    match roots {
        0 => found.fail("authorities", "no certificate authorities on this machine: install ca-certificates"),
        _ => found.ok("authorities", format!("{roots} certificate authorities for endpoints' https")),
    }
}

/// When the certificates of a file end.
fn expiry(what: &'static str, path: &Path, found: &mut Findings) {
    let chain = fs::read(path).ok().and_then(|pem| Certificate::load_pem_chain(&pem).ok()).unwrap_or_default();
    let ends = chain.iter().map(|one| one.tbs_certificate.validity.not_after.to_unix_duration().as_secs()).min();
    let Some(end) = ends.and_then(|end| i64::try_from(end).ok()) else {
        return found.fail(what, format!("{}: no certificate in PEM", path.display()));
    };
    let days = (end - crate::clock::now().seconds()) / DAY_SECONDS;
    let at = Timestamp(end * 1_000_000).to_rfc3339();
    match days {
        ..0 => found.fail(what, format!("{} has ended at {at}: renew it; the file is read again", path.display())),
        0..EXPIRY_WARNING_DAYS => found.warn(what, format!("{} ends in {days} days, at {at}", path.display())),
        _ => found.ok(what, format!("good until {at}")),
    }
}
