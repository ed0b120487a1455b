//! Tokens: who calls, from a JWT that one of the installation's keys verifies. The key decides the algorithm, never the
//! token.

mod keys;
mod ring_provider;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::{Error, ErrorKind},
};
use serde::{Deserialize, Serialize};
use tonic::{Status, codegen::http::HeaderMap};

use self::keys::{VerifyingKey, parse_keys};
use crate::{
    domain::{
        caller::{AccountScope, Caller, PERMISSION_AUTOMATIONS_WRITE, TokenEnd},
        id::AccountId,
        timestamp::Timestamp,
    },
    grpc::calls::status::{self, TokenFault},
    reload::Reloaded,
};

/// How far the clocks of token makers may be off, in seconds.
pub const LEEWAY_SECONDS: u64 = 30;
/// How long a token may be.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// `service`, `global_admin` or `user`.
    pub role: String,
    /// The accounts that it is for: exactly one for `global_admin` and `user`; any number, or `*`, for `service`.
    pub accounts: Vec<String>,
    /// The user, for `global_admin` and `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// What a `user` may do beyond reading, such as `automations.write`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

/// The claims of a token that was verified.
#[derive(Deserialize)]
struct Verified {
    #[serde(flatten)]
    claims: Claims,
    /// In seconds; some issuers write a fraction.
    exp: f64,
}

/// The claims that JWTs have in common, around our own.
#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(flatten)]
    claims: &'a Claims,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    iat: i64,
    exp: i64,
}

/// What tokens must be like.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// The audience that every token must name.
    pub audience: String,
    /// The issuer that every token must name, if any.
    pub issuer: Option<String>,
}

/// Verifies tokens.
#[derive(Clone)]
pub struct Authenticator {
    /// The keys of each file.
    keys: Arc<[Arc<Reloaded<Vec<VerifyingKey>>>]>,
    rules: Arc<TokenRules>,
}

impl Authenticator {
    /// With the keys of files, which are read again when they change. The keys of a file that is gone, or holds none any
    /// more, stay good for a grace, and then verify nothing.
    pub fn new(files: Vec<PathBuf>, rules: TokenRules, grace: Duration) -> Result<Self, String> {
        ring_provider::install();
        let of_file = |path: PathBuf| {
            let name = path.display().to_string();
            Reloaded::start_with_grace(
                "the keys of tokens",
                vec![path.clone()],
                move || read_keys(&path),
                grace,
                Vec::new,
            )
            .map_err(|error| if error.contains(&name) { error } else { format!("{name}: {error}") })
        };
        let keys = files.into_iter().map(of_file).collect::<Result<Vec<_>, String>>()?;
        Ok(Self { keys: keys.into(), rules: Arc::new(rules) })
    }

    /// Who makes a call, and until when they may.
    pub fn caller(&self, headers: &HeaderMap) -> Result<(Caller, TokenEnd), Status> {
        self.verify(headers).map_err(|(fault, message)| status::unauthenticated(fault, message))
    }

    fn verify(&self, headers: &HeaderMap) -> Result<(Caller, TokenEnd), (TokenFault, String)> {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok());
        let token =
            header.and_then(|header| header.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        let Some((_, token)) = token else {
            let message = "send `authorization: Bearer <token>`; `hookline token` makes one".to_owned();
            return Err((TokenFault::Missing, message));
        };
        if token.len() > TOKEN_BYTES_MAX {
            return Err((TokenFault::Malformed, format!("the token is longer than {TOKEN_BYTES_MAX} bytes")));
        }
        let header = decode_header(token).map_err(|error| {
            tracing::debug!(error = %error, "a token could not be read");
            let message =
                "the token is no signed JWT (three parts with full stops between them) of a supported algorithm";
            (TokenFault::Malformed, message.to_owned())
        })?;
        if header.crit.is_some() || header.extras.inner().contains_key("b64") {
            let message = "the token asks for extensions (crit, b64) that are not supported here".to_owned();
            return Err((TokenFault::Malformed, message));
        }
        let Verified { claims, exp } = self.claims(token, &header)?;
        let end = TokenEnd(Timestamp::from_seconds(exp as i64).unwrap_or_default());
        let caller = caller_of(&claims);
        let caller = caller.map_err(|why| (TokenFault::Claims, format!("the token's claims cannot be used: {why}")))?;
        Ok((caller, end))
    }

    fn claims(&self, token: &str, header: &Header) -> Result<Verified, (TokenFault, String)> {
        let keys: Vec<_> = self.keys.iter().map(|of_file| of_file.get()).collect();
        let is_named = |key: &&VerifyingKey| header.kid.is_none() || key.id.is_none() || header.kid == key.id;
        let named: Vec<_> = keys.iter().flat_map(|of_file| of_file.iter()).filter(is_named).collect();
        if !named.is_empty() && named.iter().all(|key| key.algorithm != header.alg) {
            let message = format!("the token says it is signed by {:?}, which is not its key's algorithm", header.alg);
            return Err((TokenFault::Algorithm, message));
        }
        let mut refused = (TokenFault::Key, "the token is signed by no key that is configured here: make it with the --database or --signing-key-file that serve uses".to_owned());
        for key in named.into_iter().filter(|key| key.algorithm == header.alg) {
            match decode::<Verified>(token, &key.key, &self.validation(key.algorithm)) {
                Ok(found) => return Ok(found.claims),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(error) => refused = self.fault(&error),
            }
        }
        Err(refused)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[&self.rules.audience]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        let mut required = vec!["exp", "aud"];
        if let Some(issuer) = &self.rules.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn fault(&self, error: &Error) -> (TokenFault, String) {
        let message = |text: &str| text.to_owned();
        match error.kind() {
            ErrorKind::ExpiredSignature => (TokenFault::Expired, message("the token has expired: get a new one")),
            ErrorKind::ImmatureSignature => (TokenFault::NotYetValid, message("the token is not valid yet (nbf)")),
            ErrorKind::InvalidAudience => {
                (TokenFault::Audience, format!("the token is for another audience, not {}", self.rules.audience))
            }
            ErrorKind::InvalidIssuer => {
                let issuer = self.rules.issuer.as_deref().unwrap_or_default();
                (TokenFault::Issuer, format!("the token is from another issuer, not {issuer}"))
            }
            _ => (TokenFault::Claims, format!("the token's claims cannot be used: {error}")),
        }
    }
}

/// Makes a token with a shared secret (HS256).
pub fn mint(secret: &[u8], claims: &Claims, rules: &TokenRules, iat: i64, ttl_seconds: i64) -> Result<String, String> {
    ring_provider::install();
    caller_of(claims)?;
    let (aud, iss) = (rules.audience.as_str(), rules.issuer.as_deref());
    let envelope = Envelope { claims, aud, iss, iat, exp: iat + ttl_seconds };
    encode(&Header::new(Algorithm::HS256), &envelope, &EncodingKey::from_secret(secret))
        .map_err(|error| error.to_string())
}

/// Whether a file has keys that verify tokens.
pub fn check_key_file(path: &Path) -> Result<(), String> {
    read_keys(path).map(drop)
}

fn read_keys(path: &Path) -> Result<Vec<VerifyingKey>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse_keys(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Whether a header is refused by a key that nobody has.
#[cfg(any(test, feature = "fuzzing"))]
pub fn turns_away(header: &[u8]) -> bool {
    ring_provider::install();
    let rules = TokenRules { audience: "hookline".to_owned(), issuer: None };
    let mut secret = [0; crate::keys::SECRET_BYTES_MIN];
    let _ = getrandom::fill(&mut secret);
    let key = VerifyingKey::of_secret(&secret);
    let authenticator = Authenticator { keys: Arc::new([Reloaded::fixed(vec![key])]), rules: Arc::new(rules) };
    let mut headers = HeaderMap::new();
    if let Ok(value) = http::HeaderValue::from_bytes(header) {
        headers.insert("authorization", value);
    }
    authenticator.verify(&headers).is_err()
}

fn caller_of(claims: &Claims) -> Result<Caller, String> {
    let one_account = || match claims.accounts.as_slice() {
        [one] if one == "*" => Err("accounts: * is for the role service only".to_owned()),
        [one] => one.parse::<AccountId>().map_err(|error| format!("accounts: {error}")),
        _ => Err("accounts must name exactly one account for this role".to_owned()),
    };
    let user = || {
        let id = claims.user_id.as_deref().ok_or("user_id is missing (`hookline token --user …`)")?;
        id.parse().map_err(|error| format!("user_id: {error}"))
    };
    match claims.role.as_str() {
        "service" if claims.accounts.iter().any(|account| account == "*") => {
            Ok(Caller::Service { accounts: AccountScope::All })
        }
        "service" => {
            let parsed = claims.accounts.iter().map(|id| id.parse().map_err(|error| format!("accounts: {error}")));
            Ok(Caller::Service { accounts: AccountScope::Only(parsed.collect::<Result<_, String>>()?) })
        }
        "global_admin" => Ok(Caller::GlobalAdmin { account: one_account()?, user: user()? }),
        "user" => Ok(Caller::User {
            account: one_account()?,
            user: user()?,
            writes_automations: claims.permissions.iter().any(|name| name == PERMISSION_AUTOMATIONS_WRITE),
        }),
        other => Err(format!("role {other:?} is not service, global_admin or user")),
    }
}

#[cfg(test)]
#[path = "tests/auth.rs"]
mod tests;
