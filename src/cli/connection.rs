//! The connection to a server, and who calls it: a token that was given, or one made with the local key.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{CliError, token::Role};
use crate::{
    app::{key_files, token_rules},
    clock,
    config::KeyArgs,
    grpc::{Claims, mint},
    store::Location,
    telemetry::chain,
};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take to begin; streams go on for as long as they live.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a silent server is asked whether it is still there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long a token is good for that is made with the local key.
const TOKEN_SECONDS: i64 = 3_600;

/// The server and the caller.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The server.
    #[arg(long, env = "HOOKLINE_ADDRESS", default_value = "http://127.0.0.1:50051", global = true)]
    pub address: String,
    /// Who signs the server's certificate, in PEM, where that is no public authority.
    #[arg(long, env = "HOOKLINE_CA_FILE", global = true)]
    pub ca_file: Option<PathBuf>,
    /// This client's certificate in PEM, where the server asks for one (mutual TLS).
    #[arg(long, env = "HOOKLINE_CERT_FILE", requires = "key_file", global = true)]
    pub cert_file: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, env = "HOOKLINE_KEY_FILE", requires = "cert_file", global = true)]
    pub key_file: Option<PathBuf>,
    /// A token. Without one, and without --token-file, one is made with the local key.
    #[arg(long, env = "HOOKLINE_TOKEN", hide_env_values = true, global = true)]
    pub token: Option<String>,
    /// A file with a token.
    #[arg(long, env = "HOOKLINE_TOKEN_FILE", conflicts_with = "token", global = true)]
    pub token_file: Option<PathBuf>,
    /// Whose token to make with the local key. Webhooks are changed by a global_admin of the account.
    #[arg(long = "as", value_enum, default_value = "service", global = true)]
    pub role: Role,
    /// The user of that token, for the roles `global_admin` and `user`.
    #[arg(long, global = true)]
    pub user: Option<String>,
    /// The database; the local key is beside it.
    #[arg(long, env = "HOOKLINE_DATABASE", default_value = "hookline.db", hide_env_values = true, global = true)]
    pub database: String,
    /// The key that makes tokens, where it is not the local one.
    #[arg(long, env = "HOOKLINE_SIGNING_KEY_FILE", global = true)]
    pub signing_key_file: Option<PathBuf>,
    /// The audience of the token.
    #[arg(long, env = "HOOKLINE_TOKEN_AUDIENCE", default_value = "hookline", global = true)]
    pub token_audience: String,
    /// The issuer of the token.
    #[arg(long, env = "HOOKLINE_TOKEN_ISSUER", global = true)]
    pub token_issuer: Option<String>,
}

/// Puts the token into every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// What every client of the API goes through.
pub type Caller = InterceptedService<Channel, Bearer>;

impl ConnectionArgs {
    /// Connects, with a token.
    pub async fn open(&self, account: Option<&str>) -> Result<Caller, CliError> {
        let token = self.bearer(account)?;
        let value = format!("Bearer {token}").parse();
        let value = value.map_err(|_| CliError::new("the token has characters that no token has"))?;
        Ok(InterceptedService::new(self.channel().await?, Bearer(value)))
    }

    /// Connects without a token.
    pub async fn channel(&self) -> Result<Channel, CliError> {
        let address = &self.address;
        if !address.starts_with("http://") && !address.starts_with("https://") {
            return Err(CliError::new(format!("{address} is no address: write http://{address}, or https:// for TLS")));
        }
        let mut endpoint = Endpoint::from_shared(address.clone())
            .map_err(|_| CliError::new(format!("{address} is no address: write it as http://127.0.0.1:50051")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(CONNECT_TIMEOUT)
            .keep_alive_while_idle(true);
        if address.starts_with("https:") {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(path) = &self.ca_file {
                tls = tls.ca_certificate(Certificate::from_pem(read(path)?));
            }
            if let (Some(certificate), Some(key)) = (&self.cert_file, &self.key_file) {
                tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
            }
            endpoint = endpoint.tls_config(tls).map_err(|error| CliError::new(chain(&error)))?;
        }
        endpoint.connect().await.map_err(|error| unreachable(address, &chain(&error)))
    }

    fn bearer(&self, account: Option<&str>) -> Result<String, CliError> {
        if let Some(token) = self.token.as_ref().filter(|token| !token.is_empty()) {
            return Ok(token.clone());
        }
        if let Some(path) = &self.token_file {
            let text =
                fs::read_to_string(path).map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
            return Ok(text.trim().to_owned());
        }
        self.made(account)
    }

    /// A token that is made with the local key.
    fn made(&self, account: Option<&str>) -> Result<String, CliError> {
        let location = Location::parse(&self.database).map_err(CliError::new)?;
        let keys = KeyArgs {
            signing_key_file: self.signing_key_file.clone(),
            token_key_files: Vec::new(),
            token_audience: self.token_audience.clone(),
            token_issuer: self.token_issuer.clone(),
            sealing_key_file: Vec::new(),
        };
        let secret = key_files(&keys, &location)
            .signing_key()
            .map_err(|error| CliError::new(format!("no token was given (--token, HOOKLINE_TOKEN), and {error}")))?;
        let accounts = match (self.role, account) {
            (_, Some(account)) => account.trim_start_matches("accounts/").to_owned(),
            (Role::Service, None) => "*".to_owned(),
            _ => return Err(CliError::new("a token of a user is for one account: give --account 42")),
        };
        if self.role != Role::Service && self.user.is_none() {
            return Err(CliError::new(format!("--as {} needs --user, such as --user 1", self.role.word())));
        }
        let claims = Claims {
            role: self.role.word().to_owned(),
            accounts: vec![accounts],
            user_id: self.user.clone().filter(|_| self.role != Role::Service),
            permissions: Vec::new(),
        };
        let now = clock::now().seconds();
        mint(&secret, &claims, &token_rules(&keys), now, TOKEN_SECONDS).map_err(CliError::new)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| CliError::new(format!("{}: {error}", path.display())))
}

/// Why a server could not be reached, and what to do about it.
fn unreachable(address: &str, why: &str) -> CliError {
    let remedies = [
        ("InvalidContentType", "the port speaks no TLS: write http:// instead of https://"),
        ("UnknownIssuer", "its certificate is signed by nobody known here: give --ca-file"),
        ("CaUsedAsEndEntity", "its certificate is an authority's own: have one signed for the server"),
        ("NotValidForName", "its certificate is for another name: use that name as the address"),
        ("Expired", "its certificate has expired: renew it"),
    ];
    let known = remedies.iter().find(|(mark, _)| why.contains(mark)).map(|(_, remedy)| *remedy);
    let remedy = known.unwrap_or("is `hookline serve` running there?");
    CliError::new(format!("{address} could not be reached: {why}; {remedy}"))
}

/// The account in a resource's name.
pub fn account_of(name: &str) -> Option<&str> {
    name.strip_prefix("accounts/")?.split('/').next()
}
