//! `hookline health`: asks a running server whether it serves.

use std::time::Duration;

use clap::Args;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{CliError, connection::ConnectionArgs};

/// How long the operations port may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Which server to ask.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// The server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Ask the operations port instead, such as http://127.0.0.1:9464.
    #[arg(long, num_args = 0..=1, default_missing_value = "http://127.0.0.1:9464")]
    pub operations: Option<String>,
}

/// Asks; an error where it does not serve.
pub async fn run(args: HealthArgs) -> Result<(), CliError> {
    let (serves, whom) = match args.operations {
        Some(url) => {
            let asked = tokio::time::timeout(ANSWER_TIMEOUT, is_ready(&url)).await;
            (asked.map_err(|_| CliError::new(format!("{url} does not answer")))??, url)
        }
        None => {
            let mut health = HealthClient::new(args.connection.channel().await?);
            let answer = health.check(HealthCheckRequest::default()).await?.into_inner();
            (answer.status() == ServingStatus::Serving, args.connection.address)
        }
    };
    if serves {
        println!("{whom} serves");
        return Ok(());
    }
    let why = "it is starting, waits for another process's lock on the database, or is about to end";
    Err(CliError::new(format!("{whom} does not serve: {why}; its log says which")))
}

/// Whether the operations port says that the service is ready: one request of plain HTTP.
async fn is_ready(url: &str) -> Result<bool, CliError> {
    let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let host = host.ok_or_else(|| CliError::new(format!("{url}: write it as http://127.0.0.1:9464")))?;
    let failed = |error: std::io::Error| CliError::new(format!("{url} could not be reached: {error}"));
    let mut stream = TcpStream::connect(host).await.map_err(failed)?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = String::new();
    stream.take(4_096).read_to_string(&mut answer).await.map_err(failed)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}
