//! Tokens: who calls, from a JWT signed with the installation's key.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use tonic::{Status, metadata::MetadataMap};

use crate::domain::{
    caller::{AccountScope, Caller, PERMISSION_AUTOMATIONS_WRITE},
    id::AccountId,
};

/// The audience that every token must name.
pub const AUDIENCE: &str = "hookline";
/// How far the clocks of token makers may be off, in seconds.
const LEEWAY_SECONDS: u64 = 30;

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
    /// Who it is for: `hookline`.
    pub aud: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
}

/// Makes and verifies tokens with one HS256 key.
#[derive(Clone)]
pub struct Authenticator {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Authenticator {
    /// With a key of at least 32 bytes.
    pub fn new(key: &[u8]) -> Self {
        Self { encoding: EncodingKey::from_secret(key), decoding: DecodingKey::from_secret(key) }
    }

    /// Makes a token.
    pub fn mint(&self, claims: &Claims) -> Result<String, String> {
        caller_of(claims)?;
        encode(&Header::new(Algorithm::HS256), claims, &self.encoding).map_err(|error| error.to_string())
    }

    /// Who makes a call.
    pub fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let header = metadata.get("authorization").and_then(|value| value.to_str().ok());
        let token = header
            .and_then(|header| header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")))
            .ok_or_else(|| {
                Status::unauthenticated("send `authorization: Bearer <token>`; `hookline token` makes one")
            })?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY_SECONDS;
        let claims = decode::<Claims>(token, &self.decoding, &validation).map_err(|error| {
            Status::unauthenticated(match error.kind() {
                ErrorKind::ExpiredSignature => "the token has expired: get a new one".to_owned(),
                ErrorKind::InvalidSignature => "the token is signed with another key".to_owned(),
                ErrorKind::InvalidAudience => format!("the token is for another audience, not {AUDIENCE}"),
                _ => format!("the token cannot be used: {error}"),
            })
        })?;
        caller_of(&claims.claims).map_err(|why| Status::unauthenticated(format!("the token cannot be used: {why}")))
    }
}

fn caller_of(claims: &Claims) -> Result<Caller, String> {
    let one_account = || match claims.accounts.as_slice() {
        [one] => one.parse::<AccountId>().map_err(|error| format!("accounts: {error}")),
        _ => Err("accounts must name exactly one account for this role".to_owned()),
    };
    let user = || {
        let id = claims.user_id.as_deref().ok_or("user_id is missing")?;
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
mod tests {
    use super::*;

    fn claims(role: &str, account: &str) -> Claims {
        let now = crate::engine::now().seconds();
        Claims {
            role: role.into(),
            accounts: vec![account.into()],
            user_id: Some("7".into()),
            permissions: Vec::new(),
            aud: AUDIENCE.into(),
            iat: now,
            exp: now + 60,
        }
    }

    fn call(authenticator: &Authenticator, token: &str) -> Result<Caller, Status> {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", format!("Bearer {token}").parse().expect("a value"));
        authenticator.caller(&metadata)
    }

    #[test]
    fn a_token_says_who_calls_and_a_bad_one_says_why_not() {
        let authenticator = Authenticator::new(&[1; 32]);
        let token = authenticator.mint(&claims("user", "42")).expect("mints");
        let caller = call(&authenticator, &token).expect("verifies");
        assert!(matches!(caller, Caller::User { writes_automations: false, .. }));
        let expired = Claims { exp: 100, ..claims("user", "42") };
        let other_audience = Claims { aud: "other".into(), ..claims("user", "42") };
        for (token, why) in [
            (authenticator.mint(&expired).expect("mints"), "expired"),
            (authenticator.mint(&other_audience).expect("mints"), "audience"),
            (Authenticator::new(&[2; 32]).mint(&claims("user", "42")).expect("mints"), "another key"),
            ("x.y.z".to_owned(), "cannot be used"),
        ] {
            let status = call(&authenticator, &token).expect_err(why);
            assert_eq!(status.code(), tonic::Code::Unauthenticated);
            assert!(status.message().contains(why), "{}", status.message());
        }
        assert!(authenticator.mint(&claims("root", "42")).is_err());
        assert!(authenticator.mint(&claims("user", "*")).is_err(), "a user belongs to one account");
    }
}
