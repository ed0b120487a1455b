//! The command line and the environment: every setting is a flag, and a variable of the same name.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use ipnet::IpNet;

use crate::domain::plan::{REQUESTS_IN_FLIGHT_MAX, RETENTION_DAYS_MAX, RETENTION_DAYS_MIN};

/// Where the data is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// A SQLite file, or postgres://user:password@host/database.
    #[arg(long, env = "HOOKLINE_DATABASE", default_value = "hookline.db", hide_env_values = true)]
    pub database: String,
}

/// The keys of the installation.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// The key that makes and verifies tokens (HS256): a file with 32 bytes or more in base64. Without it, and without
    /// --token-key-files, a local key is made beside the database.
    #[arg(long, env = "HOOKLINE_SIGNING_KEY_FILE")]
    pub signing_key_file: Option<PathBuf>,
    /// The keys that verify the tokens of an issuer of your own: files with a JWKS, or a public key in PEM (Ed25519,
    /// EC P-256, RSA), or a shared secret in base64. Each key is for one algorithm: EdDSA, ES256, RS256 or HS256. The
    /// files are read again when they change.
    #[arg(long, env = "HOOKLINE_TOKEN_KEY_FILES", value_delimiter = ',')]
    pub token_key_files: Vec<PathBuf>,
    /// The audience (aud) that every token must name.
    #[arg(long, env = "HOOKLINE_TOKEN_AUDIENCE", default_value = "hookline")]
    pub token_audience: String,
    /// The issuer (iss) that every token must name; any, where none is given.
    #[arg(long, env = "HOOKLINE_TOKEN_ISSUER")]
    pub token_issuer: Option<String>,
    /// The key that seals credentials and secrets: a file with 32 bytes in base64. Without it a local key is made
    /// beside the database. Keep a copy: without it the sealed values are lost. Of several files the first one seals, and
    /// the others open what they sealed until `hookline keys rotate` has sealed it anew.
    #[arg(long, env = "HOOKLINE_SEALING_KEY_FILE", value_delimiter = ',')]
    pub sealing_key_file: Vec<PathBuf>,
}

/// What the gRPC port lets in.
#[derive(Debug, Clone, Args)]
pub struct BoundArgs {
    /// How many connections the gRPC port has at once. Where there is no place left, the oldest connection without a good
    /// token gives up its own.
    #[arg(long, env = "HOOKLINE_CONNECTIONS_MAX", default_value_t = 1_024, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections_max: u16,
    /// How many connections of one address there are; of IPv6 one /64 counts as one. Raise it behind a proxy.
    #[arg(long, env = "HOOKLINE_CONNECTIONS_OF_ADDRESS_MAX", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections_of_address_max: u16,
    /// How many calls and streams one connection has at once.
    #[arg(long, env = "HOOKLINE_STREAMS_OF_CONNECTION_MAX", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub streams_of_connection_max: u32,
    /// How many calls are under way at once, streams included. Services and people each leave a quarter to the other, and
    /// the people of one account have a quarter together.
    #[arg(long, env = "HOOKLINE_CALLS_MAX", default_value_t = 2_048, value_parser = clap::value_parser!(u16).range(4..))]
    pub calls_max: u16,
    /// How many calls of one caller (role, accounts, user) are under way at once, streams included.
    #[arg(long, env = "HOOKLINE_CALLS_OF_CALLER_MAX", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    pub calls_of_caller_max: u16,
    /// How many bytes of messages are received at once, in all; the people of one account, or services of the same
    /// accounts, have a quarter of it. Messages beyond that wait.
    #[arg(long, env = "HOOKLINE_RECEIVING_BYTES_MAX", default_value_t = 67_108_864, value_parser = clap::value_parser!(u32).range(16_777_216..=1_073_741_824))]
    pub receiving_bytes_max: u32,
    /// How long one message may take from its first byte to its last, in milliseconds.
    #[arg(long, env = "HOOKLINE_MESSAGE_TIMEOUT_MS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub message_timeout_ms: u64,
    /// How long a TLS handshake may take, in milliseconds.
    #[arg(long, env = "HOOKLINE_HANDSHAKE_TIMEOUT_MS", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub handshake_timeout_ms: u64,
    /// How long a new connection may say nothing, in milliseconds.
    #[arg(long, env = "HOOKLINE_PREFACE_TIMEOUT_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub preface_timeout_ms: u64,
    /// How long a connection without a good token may be without a call, in milliseconds.
    #[arg(long, env = "HOOKLINE_STRANGER_TIMEOUT_MS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub stranger_timeout_ms: u64,
    /// How long a connection with a good token may be without a call, in milliseconds; then it is told to end.
    #[arg(long, env = "HOOKLINE_CONNECTION_IDLE_MS", default_value_t = 900_000, value_parser = clap::value_parser!(u64).range(1_000..=86_400_000))]
    pub connection_idle_ms: u64,
    /// How long a client may leave what is sent to it unread, in milliseconds; then its connection ends.
    #[arg(long, env = "HOOKLINE_PROGRESS_TIMEOUT_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub progress_timeout_ms: u64,
    /// Describe the port to callers with a token (gRPC reflection).
    #[arg(long, env = "HOOKLINE_REFLECTION", action = clap::ArgAction::Set, default_value_t = true, value_parser = BoolishValueParser::new())]
    pub reflection: bool,
}

/// How the service runs.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// The keys of the installation.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// The address of the gRPC port. Another than the loopback needs keys of your own.
    #[arg(long, env = "HOOKLINE_LISTEN", default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// The address of the operations port: metrics, health and log level over plain HTTP, without tokens.
    #[arg(long, env = "HOOKLINE_OPERATIONS_LISTEN", default_value = "127.0.0.1:9464")]
    pub operations_listen: SocketAddr,
    /// The address of the HTTP port, for whatever speaks no gRPC: JSON, and events from anywhere. Without it there is none.
    /// Another than the loopback needs keys of your own.
    #[arg(long, env = "HOOKLINE_HTTP_LISTEN")]
    pub http_listen: Option<SocketAddr>,
    /// The origins whose pages may call the HTTP port, such as `https://app.example`; without any, none may.
    #[arg(long, env = "HOOKLINE_HTTP_ALLOW_ORIGINS", value_delimiter = ',', requires = "http_listen")]
    pub http_allow_origins: Vec<String>,
    /// How long the keys of a file stay good that is gone or holds no key any more, in milliseconds; then the tokens that
    /// they signed are refused.
    #[arg(long, env = "HOOKLINE_TOKEN_KEY_GRACE_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(0..=86_400_000))]
    pub token_key_grace_ms: u64,
    /// What is let in before and after a caller is known.
    #[command(flatten)]
    pub bounds: BoundArgs,
    /// How log lines look, on standard error.
    #[arg(long, env = "HOOKLINE_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// The port's certificate chain in PEM; with it the port speaks TLS only. Read again when it changes.
    #[arg(long, env = "HOOKLINE_TLS_CERT_FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The private key of the port's certificate, in PEM.
    #[arg(long, env = "HOOKLINE_TLS_KEY_FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
    /// Who signs the certificates that clients must have (mutual TLS), in PEM. Tokens are needed nevertheless.
    #[arg(long, env = "HOOKLINE_TLS_CLIENT_CA_FILE", requires = "tls_cert_file")]
    pub tls_client_ca_file: Option<PathBuf>,
    /// Allow endpoint URLs with plain http.
    #[arg(long, env = "HOOKLINE_ALLOW_HTTP", value_parser = BoolishValueParser::new())]
    pub allow_http: bool,
    /// Blocks of private or special addresses that requests may go to, such as 10.1.0.0/16; one address is 10.1.2.3/32.
    #[arg(long, env = "HOOKLINE_ALLOW_ADDRESSES", value_delimiter = ',')]
    pub allow_addresses: Vec<IpNet>,
    /// Certificate authorities, in PEM, that endpoints may have their certificates from, beside those of the system.
    #[arg(long, env = "HOOKLINE_ENDPOINT_CA_FILE")]
    pub endpoint_ca_file: Option<PathBuf>,
    /// The name servers that look up the names of endpoints, such as 10.0.0.2:53; those of /etc/resolv.conf where none are
    /// given. /etc/hosts and search domains hold either way.
    #[arg(long, env = "HOOKLINE_DNS_SERVERS", value_delimiter = ',')]
    pub dns_servers: Vec<SocketAddr>,
    /// How long the right to answer and send lasts that a process takes on PostgreSQL, and renews four times in that time, in
    /// milliseconds. After a crash the next process waits for its end; a file's lock ends with its process. A request's
    /// deadline is at most half of it.
    #[arg(long, env = "HOOKLINE_LEASE_MS", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1_000..=600_000))]
    pub lease_ms: u64,
    /// Carry a history over to a new version's form at the start even where PostgreSQL needs more than 1 GiB for it.
    #[arg(long, env = "HOOKLINE_MIGRATE_YES")]
    pub migrate_yes: bool,
    /// One deadline over connecting, sending and the answer, in milliseconds.
    #[arg(long, env = "HOOKLINE_REQUEST_DEADLINE_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub request_deadline_ms: u64,
    /// How long connecting may take, in milliseconds.
    #[arg(long, env = "HOOKLINE_CONNECT_TIMEOUT_MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub connect_timeout_ms: u64,
    /// The delays before failed requests are sent again, in milliseconds, ±20 %.
    #[arg(long, env = "HOOKLINE_RETRY_DELAYS_MS", value_delimiter = ',', default_value = "5000,30000,120000,600000,3600000,10800000,28800000", value_parser = clap::value_parser!(u64).range(1..=259_200_000))]
    pub retry_delays_ms: Vec<u64>,
    /// How long an endpoint is left alone that has failed ten first tries in a row, in milliseconds; then twice as long
    /// after each probe that fails, up to half an hour.
    #[arg(long, env = "HOOKLINE_BREAKER_OPEN_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=1_800_000))]
    pub breaker_open_ms: u64,
    /// How large a rendered body may be, in bytes.
    #[arg(long, env = "HOOKLINE_BODY_BYTES_MAX", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub body_bytes_max: u32,
    /// How many executions a window admits, for the plans from ADVANCED to ENTERPRISE.
    #[arg(long, env = "HOOKLINE_PLAN_EXECUTIONS", value_delimiter = ',', default_value = "1000,2500,5000,10000")]
    pub plan_executions: Vec<u32>,
    /// How many automations may be active, for the plans from ADVANCED to ENTERPRISE.
    #[arg(long, env = "HOOKLINE_PLAN_ACTIVE_AUTOMATIONS", value_delimiter = ',', default_value = "50,100,150,250")]
    pub plan_active_automations: Vec<u32>,
    /// How many automation webhooks there may be, for the plans from ADVANCED to ENTERPRISE.
    #[arg(long, env = "HOOKLINE_PLAN_AUTOMATION_WEBHOOKS", value_delimiter = ',', default_value = "20,50,100,200")]
    pub plan_automation_webhooks: Vec<u32>,
    /// How many requests of an account may be in flight, for the plans from ESSENTIAL to ENTERPRISE.
    #[arg(long, env = "HOOKLINE_PLAN_REQUESTS_IN_FLIGHT", value_delimiter = ',', default_value = "8,16,32,64,128", value_parser = clap::value_parser!(u32).range(1..=i64::from(REQUESTS_IN_FLIGHT_MAX)))]
    pub plan_requests_in_flight: Vec<u32>,
    /// For how many days executions are kept after their end, for the plans from ESSENTIAL to ENTERPRISE.
    #[arg(long, env = "HOOKLINE_PLAN_RETENTION_DAYS", value_delimiter = ',', default_value = "15,15,15,15,15", value_parser = clap::value_parser!(u32).range(i64::from(RETENTION_DAYS_MIN)..=i64::from(RETENTION_DAYS_MAX)))]
    pub plan_retention_days: Vec<u32>,
    /// How long a window of executions is, in milliseconds.
    #[arg(long, env = "HOOKLINE_EXECUTION_WINDOW_MS", default_value_t = 600_000, value_parser = clap::value_parser!(u64).range(100..=86_400_000))]
    pub execution_window_ms: u64,
    /// How many executions of an account its limit holds back at most; further ones are recorded as stopped.
    #[arg(long, env = "HOOKLINE_PAUSED_EXECUTIONS_MAX", default_value_t = 100_000)]
    pub paused_executions_max: u64,
    /// How many executions of an account wait at most, for whatever reason: a slot, a retry, the limit, an endpoint that
    /// answers nothing; further ones are recorded as stopped.
    #[arg(long, env = "HOOKLINE_WAITING_EXECUTIONS_MAX", default_value_t = 1_000_000)]
    pub waiting_executions_max: u64,
    /// How long ago an event may have happened, in milliseconds; older ones are rejected. Without it any age is taken.
    #[arg(long, env = "HOOKLINE_EVENT_AGE_MAX_MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub event_age_max_ms: Option<u64>,
    /// How long an execution may be held back, in milliseconds; then it is recorded as stopped.
    #[arg(long, env = "HOOKLINE_PAUSED_AGE_MAX_MS", default_value_t = 259_200_000, value_parser = clap::value_parser!(u64).range(1..=31_536_000_000))]
    pub paused_age_max_ms: u64,
    /// How many requests are in flight in all.
    #[arg(long, env = "HOOKLINE_REQUESTS_IN_FLIGHT_MAX", default_value_t = 1_024, value_parser = clap::value_parser!(u16).range(1..))]
    pub requests_in_flight_max: u16,
    /// For how many days the entries of audit trails are kept.
    #[arg(long, env = "HOOKLINE_AUDIT_RETENTION_DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub audit_retention_days: u32,
    /// How many bytes of memory remember why automations did not run, for all accounts together.
    #[arg(long, env = "HOOKLINE_MISSES_BYTES_MAX", default_value_t = 67_108_864)]
    pub misses_bytes_max: usize,
    /// How many bytes of memory remember the last events that fitted triggers, for all accounts together.
    #[arg(long, env = "HOOKLINE_RECENT_EVENTS_BYTES_MAX", default_value_t = 16_777_216)]
    pub recent_events_bytes_max: usize,
    /// How long an account is kept in memory after its last use, in milliseconds.
    #[arg(long, env = "HOOKLINE_ACCOUNT_IDLE_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(100..=86_400_000))]
    pub account_idle_ms: u64,
    /// How long a client of a watch may leave changes unread, in milliseconds; then its stream ends.
    #[arg(long, env = "HOOKLINE_WATCH_STALL_MAX_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub watch_stall_max_ms: u64,
    /// How long requests under way may take to end at shutdown, in milliseconds. What has not ended is sent again
    /// after the next start. A second SIGTERM ends the waiting.
    #[arg(long, env = "HOOKLINE_SHUTDOWN_GRACE_MS", default_value_t = 15_000, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub shutdown_grace_ms: u64,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

#[cfg(test)]
#[path = "tests/config.rs"]
mod tests;
