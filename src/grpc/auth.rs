//! Tokens: who calls, from a JWT that one of the installation's keys verifies. The key decides the algorithm, never the
//! token.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::{Error, ErrorKind},
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use serde::{Deserialize, Serialize};
use tonic::{Status, codegen::http::HeaderMap};

use super::status::{self, TokenFault};
use crate::{
    domain::{
        caller::{AccountScope, Caller, PERMISSION_AUTOMATIONS_WRITE},
        id::AccountId,
    },
    reload::Reloaded,
};

/// How far the clocks of token makers may be off, in seconds.
pub const LEEWAY_SECONDS: u64 = 30;
/// How long a token may be.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How short a shared secret may be.
pub const SECRET_BYTES_MIN: usize = 32;

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
    keys: Arc<Reloaded<Vec<VerifyingKey>>>,
    rules: Arc<TokenRules>,
}

/// One key, and the one algorithm that it is for.
pub struct VerifyingKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Authenticator {
    /// With a shared secret, if there is one, and the keys of files, which are read again when they change.
    pub fn new(secret: Option<Vec<u8>>, files: Vec<PathBuf>, rules: TokenRules) -> Result<Self, String> {
        let paths = files.clone();
        let read = move || {
            let mut keys: Vec<_> = secret.iter().map(|secret| VerifyingKey::of_secret(secret)).collect();
            for path in &files {
                let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
                keys.extend(parse_keys(&text).map_err(|error| format!("{}: {error}", path.display()))?);
            }
            Ok(keys)
        };
        Ok(Self { keys: Reloaded::start("the keys of tokens", paths, read)?, rules: Arc::new(rules) })
    }

    /// Who makes a call.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Status> {
        self.verify(headers).map_err(|(fault, message)| status::unauthenticated(fault, message))
    }

    fn verify(&self, headers: &HeaderMap) -> Result<Caller, (TokenFault, String)> {
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
        let claims = self.claims(token, &header)?;
        caller_of(&claims).map_err(|why| (TokenFault::Claims, format!("the token's claims cannot be used: {why}")))
    }

    fn claims(&self, token: &str, header: &Header) -> Result<Claims, (TokenFault, String)> {
        let keys = self.keys.get();
        let is_named = |key: &&VerifyingKey| header.kid.is_none() || key.id.is_none() || header.kid == key.id;
        let named: Vec<_> = keys.iter().filter(is_named).collect();
        if !named.is_empty() && named.iter().all(|key| key.algorithm != header.alg) {
            let message = format!("the token says it is signed by {:?}, which is not its key's algorithm", header.alg);
            return Err((TokenFault::Algorithm, message));
        }
        let mut refused = (TokenFault::Key, "the token is signed by no key that is configured here: make it with the --database or --signing-key-file that serve uses".to_owned());
        for key in named.into_iter().filter(|key| key.algorithm == header.alg) {
            match decode::<Claims>(token, &key.key, &self.validation(key.algorithm)) {
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
    caller_of(claims)?;
    let (aud, iss) = (rules.audience.as_str(), rules.issuer.as_deref());
    let envelope = Envelope { claims, aud, iss, iat, exp: iat + ttl_seconds };
    encode(&Header::new(Algorithm::HS256), &envelope, &EncodingKey::from_secret(secret))
        .map_err(|error| error.to_string())
}

/// Whether a file has keys that verify tokens.
pub fn check_key_file(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse_keys(&text).map(drop).map_err(|error| format!("{}: {error}", path.display()))
}

impl VerifyingKey {
    fn of_secret(secret: &[u8]) -> Self {
        Self { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// A key of a JWKS; none where it is for something else.
    fn of_jwk(jwk: &Jwk) -> Result<Option<Self>, String> {
        if jwk.common.public_key_use.as_ref().is_some_and(|how| *how != PublicKeyUse::Signature) {
            return Ok(None);
        }
        let of_type = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(curve) if curve.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return Ok(None),
        };
        let named = match jwk.common.key_algorithm {
            None => of_type,
            Some(KeyAlgorithm::HS256) => Algorithm::HS256,
            Some(KeyAlgorithm::RS256) => Algorithm::RS256,
            Some(KeyAlgorithm::ES256) => Algorithm::ES256,
            Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
            Some(_) => return Ok(None),
        };
        if named != of_type {
            return Err(format!("the key {:?} says alg {named:?}, but is of another type", jwk.common.key_id));
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
        Ok(Some(Self { id: jwk.common.key_id.clone(), algorithm: named, key }))
    }

    fn of_pem(pem: &[u8]) -> Result<Self, String> {
        let (algorithm, key) = DecodingKey::from_ed_pem(pem)
            .map(|key| (Algorithm::EdDSA, key))
            .or_else(|_| DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key)))
            .or_else(|_| DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key)))
            .map_err(|_| "a PEM file must hold a public key: Ed25519, EC P-256 or RSA".to_owned())?;
        Ok(Self { id: None, algorithm, key })
    }
}

/// The keys of a file: a JWKS, a public key in PEM, or a shared secret in base64.
fn parse_keys(text: &str) -> Result<Vec<VerifyingKey>, String> {
    let text = text.trim();
    if text.starts_with('{') {
        let set: JwkSet = serde_json::from_str(text).map_err(|error| format!("no JWKS: {error}"))?;
        let keys = set.keys.iter().filter_map(|jwk| VerifyingKey::of_jwk(jwk).transpose());
        let keys = keys.collect::<Result<Vec<_>, String>>()?;
        if keys.is_empty() {
            return Err("the JWKS has no key for HS256, RS256, ES256 or EdDSA".to_owned());
        }
        return Ok(keys);
    }
    if text.contains("-----BEGIN") {
        return Ok(vec![VerifyingKey::of_pem(text.as_bytes())?]);
    }
    let secret = BASE64.decode(text).map_err(|_| "neither a JWKS, nor a public key in PEM, nor base64".to_owned())?;
    if secret.len() < SECRET_BYTES_MIN {
        return Err(format!("a shared secret must have at least {SECRET_BYTES_MIN} bytes"));
    }
    Ok(vec![VerifyingKey::of_secret(&secret)])
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
#[path = "auth_tests.rs"]
mod tests;
