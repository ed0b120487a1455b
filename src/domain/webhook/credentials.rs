//! How requests authenticate at an endpoint.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::{
    header::{is_name, is_own, plain_name},
    refusal::Violations,
};

/// How many headers credentials may have.
pub const CREDENTIAL_HEADERS_MAX: usize = 10;

/// How long a user name may be.
pub const USERNAME_BYTES_MAX: usize = 255;

/// How long a password may be.
pub const PASSWORD_BYTES_MAX: usize = 1_024;

/// How long a token or a header's value may be.
pub const TOKEN_BYTES_MAX: usize = 4_096;

/// How requests authenticate at the endpoint.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// HTTP Basic authentication.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A bearer token.
    Bearer(SecretString),
    /// Headers with secret values.
    Headers(BTreeMap<String, SecretString>),
}

impl Credentials {
    /// Checks credentials. Faults are noted under the field.
    pub fn check(&self, at: &str, faults: &mut Violations) {
        match self {
            Credentials::None => {}
            Credentials::Basic { username, password } => {
                let bad = |text: &str, most: usize| text.len() > most || text.chars().any(char::is_control);
                if username.is_empty() || username.contains(':') || bad(username, USERNAME_BYTES_MAX) {
                    let message = format!("must be 1 to {USERNAME_BYTES_MAX} bytes without a colon");
                    faults.add(format!("{at}.basic.username"), message);
                }
                if bad(password.expose_secret(), PASSWORD_BYTES_MAX) {
                    faults.add(format!("{at}.basic.password"), format!("must be at most {PASSWORD_BYTES_MAX} bytes"));
                }
            }
            Credentials::Bearer(token) => {
                if !is_header_value(token.expose_secret()) || token.expose_secret().contains(' ') {
                    let message = format!("must be 1 to {TOKEN_BYTES_MAX} visible ASCII characters");
                    faults.add(format!("{at}.bearer.token"), message);
                }
            }
            Credentials::Headers(headers) => check_headers(headers, &format!("{at}.headers.headers"), faults),
        }
    }

    /// The headers that a request carries for them.
    pub fn headers(&self) -> Vec<(String, SecretString)> {
        match self {
            Credentials::None => Vec::new(),
            Credentials::Basic { username, password } => {
                let pair = BASE64.encode(format!("{username}:{}", password.expose_secret()));
                vec![("authorization".into(), format!("Basic {pair}").into())]
            }
            Credentials::Bearer(token) => {
                vec![("authorization".into(), format!("Bearer {}", token.expose_secret()).into())]
            }
            Credentials::Headers(headers) => {
                headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
            }
        }
    }
}

fn check_headers(headers: &BTreeMap<String, SecretString>, at: &str, faults: &mut Violations) {
    if headers.is_empty() || headers.len() > CREDENTIAL_HEADERS_MAX {
        faults.add(at, format!("must have 1 to {CREDENTIAL_HEADERS_MAX} headers"));
    }
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        let at = format!("{at}[{name}]");
        let plain = plain_name(name);
        if !is_name(name) {
            faults.add(&at, "the name must be 1 to 64 characters of letters, digits, - and _");
        } else if is_own(&plain) {
            faults.add(&at, "this header is set by the service itself");
        } else if !seen.insert(plain) {
            faults.add(&at, "this header is given twice: names differ by more than capital letters, - and _");
        }
        if !is_header_value(value.expose_secret()) {
            faults.add(&at, format!("the value must be 1 to {TOKEN_BYTES_MAX} visible ASCII characters"));
        }
    }
}

fn is_header_value(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

#[cfg(test)]
#[path = "tests/credentials.rs"]
mod tests;
