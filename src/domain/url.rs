//! Endpoint URLs, the paths that are appended to them, and the rule that no value leads away from an endpoint.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::AddressPolicy;

/// How long an endpoint URL may be.
pub const ENDPOINT_URL_BYTES_MAX: usize = 2_048;
/// How long the final URL of a request may be.
pub const FINAL_URL_BYTES_MAX: usize = 8_192;

/// What an installation allows of endpoint URLs.
#[derive(Debug, Clone, Default)]
pub struct UrlPolicy {
    /// Whether `http://` is allowed beside `https://`.
    pub allow_http: bool,
    /// Which addresses are allowed.
    pub addresses: AddressPolicy,
}

/// The URL that an action's path is appended to.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl {
    text: String,
    url: Url,
}

/// What a path is appended to: a path that ends, or a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The endpoint has no query: a value stands in a path segment.
    Path,
    /// The endpoint has a query: a value stands in it.
    Query,
}

/// The rendered path would leave the endpoint, or the URL would be too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsafePath;

impl EndpointUrl {
    /// Checks a URL. Each thing that is wrong has its own sentence. Where paths are appended to it, so has its ending.
    pub fn parse(text: &str, policy: &UrlPolicy, takes_paths: bool) -> Result<Self, Vec<String>> {
        let ending = if takes_paths { check_ending(text).err() } else { None };
        match Self::parse_any(text, policy) {
            Ok(url) => ending.map_or(Ok(url), |fault| Err(vec![fault])),
            Err(faults) if text.is_empty() => Err(faults),
            Err(faults) => Err(ending.into_iter().chain(faults).collect()),
        }
    }

    /// Whether paths can be appended to it.
    pub fn check_takes_paths(&self) -> Result<(), String> {
        check_ending(&self.text)
    }

    fn parse_any(text: &str, policy: &UrlPolicy) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        if text.is_empty() {
            return Err(vec!["is required: https://host/path/".to_owned()]);
        }
        if text.len() > ENDPOINT_URL_BYTES_MAX {
            faults.push(format!("has {} bytes, the limit is {ENDPOINT_URL_BYTES_MAX}", text.len()));
            return Err(faults);
        }
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => {
                faults.push(format!("is not a URL: {error}; write it as https://host/path/"));
                return Err(faults);
            }
        };
        check_parts(text, &url, policy, &mut faults);
        if url.port() == Some(0) {
            faults.push("must not have the port 0, where nothing listens".into());
        }
        if faults.is_empty() && url.as_str() == text && can_climb(text) {
            faults.push(
                "has a path that a receiver could read as another one: no segment may be . or .. (also as %2e, behind \
                 %2f or %5c, or before a semicolon), and no character NUL"
                    .into(),
            );
        }
        if faults.is_empty() && url.as_str() != text {
            // The values of its query are credentials, and messages are kept in many places.
            let normal = Self { text: url.to_string(), url: url.clone() }.masked();
            let hidden = if normal == url.as_str() { "" } else { " (with the values of your query)" };
            faults.push(format!("would be rewritten on its way; write it in its normal form: {normal}{hidden}"));
        }
        if faults.is_empty() { Ok(Self { text: text.to_owned(), url }) } else { Err(faults) }
    }

    /// A URL that was checked when it was saved; the policy may have changed since.
    pub fn from_stored(text: &str) -> Option<Self> {
        Url::parse(text).ok().map(|url| Self { text: text.to_owned(), url })
    }

    /// Stands for one that cannot be read; nothing is sent there.
    pub fn unreadable() -> Self {
        const TEXT: &str = "https://unreadable.invalid/";
        Self { text: TEXT.to_owned(), url: Url::parse(TEXT).unwrap_or_else(|_| unreachable!()) }
    }

    /// The URL as it was saved, credentials in its query included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL with the values of its query shown as `***`.
    pub fn masked(&self) -> String {
        let Some((before, query)) = self.text.split_once('?') else {
            return self.text.clone();
        };
        let mask = |pair: &str| match pair.split_once('=') {
            Some((_, "")) => pair.to_owned(),
            Some((key, _)) => format!("{key}=***"),
            None if pair.is_empty() => String::new(),
            None => "***".to_owned(),
        };
        let masked: Vec<_> = query.split('&').map(mask).collect();
        format!("{before}?{}", masked.join("&"))
    }

    /// The values of its query, which are credentials.
    pub fn query_values(&self) -> impl Iterator<Item = &str> {
        let query = self.text.split_once('?').map_or("", |(_, query)| query);
        query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value))
    }

    /// Whether requests go to the same server: scheme, host and port.
    pub fn is_same_origin(&self, other: &EndpointUrl) -> bool {
        self.url.origin() == other.url.origin()
    }

    /// What a path is appended to.
    pub fn ending(&self) -> Ending {
        if self.text.contains('?') { Ending::Query } else { Ending::Path }
    }

    /// The host and the port.
    pub fn server(&self) -> (String, u16) {
        (self.url.host_str().unwrap_or_default().to_owned(), self.url.port_or_known_default().unwrap_or_default())
    }

    /// The address, where the host is one.
    pub fn literal_address(&self) -> Option<IpAddr> {
        literal_address(&self.url)
    }

    /// The final URL: this one and a rendered path. It keeps scheme, host, port, path and query of the endpoint.
    pub fn join(&self, path: &str) -> Result<Url, UnsafePath> {
        let text = format!("{}{path}", self.text);
        if text.len() > FINAL_URL_BYTES_MAX || can_climb(&text) {
            return Err(UnsafePath);
        }
        let url = Url::parse(&text).map_err(|_| UnsafePath)?;
        let keeps_query = match self.url.query() {
            None => url.path().starts_with(self.url.path()),
            Some(query) => url.path() == self.url.path() && url.query().is_some_and(|found| found.starts_with(query)),
        };
        let keeps_origin = url.scheme() == self.url.scheme()
            && url.host() == self.url.host()
            && url.port() == self.url.port()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        if keeps_origin && keeps_query && url.as_str() == text { Ok(url) } else { Err(UnsafePath) }
    }

    /// The final URL for the eyes of everyone: the endpoint masked, the path as it is.
    pub fn join_masked(&self, path: &str) -> String {
        format!("{}{path}", self.masked())
    }
}

impl std::fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.masked())
    }
}

/// Whether two URLs lead to the same server: scheme, host and port.
pub fn is_same_origin(one: &str, other: &str) -> bool {
    let origin = |text: &str| Url::parse(text).map(|url| url.origin());
    one == other || origin(one).is_ok_and(|one| origin(other).is_ok_and(|other| one == other))
}

/// A URL for traces: every value of its query is hidden, as the semantic conventions ask.
pub fn redacted(url: &str) -> String {
    let Some((before, query)) = url.split_once('?') else { return url.to_owned() };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !value.is_empty() => format!("{key}=REDACTED"),
        _ => pair.to_owned(),
    };
    format!("{before}?{}", query.split('&').map(hide).collect::<Vec<_>>().join("&"))
}

/// Whether a path can be appended to a URL as it is.
fn check_ending(text: &str) -> Result<(), String> {
    const ENDINGS: [char; 4] = ['/', '&', '?', '='];
    if text.ends_with(ENDINGS) {
        return Ok(());
    }
    let appended = "must end with /, &, ? or =, because an action's path is appended to it as it is";
    Err(match text.contains('?') {
        false => format!("{appended}; to send to exactly this URL, end it with ? and leave the path empty"),
        true => format!(
            "{appended}; to send to exactly this URL, whose query ends with a value (as those of Power Automate do), end \
             it with & and leave the path empty"
        ),
    })
}

fn check_parts(text: &str, url: &Url, policy: &UrlPolicy, faults: &mut Vec<String>) {
    match url.scheme() {
        "https" => {}
        "http" if policy.allow_http => {}
        "http" => faults.push("must be https; plain http has to be allowed by the server (HOOKLINE_ALLOW_HTTP)".into()),
        other => faults.push(format!("must be https, not {other}")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        faults.push("must not have a user name or password; use the webhook's credentials".into());
    }
    if url.fragment().is_some() || text.contains('#') {
        faults.push("must not have a fragment (#), which is never sent".into());
    }
    match url.host() {
        None => faults.push("must have a host".into()),
        Some(_) => {
            if let Some(address) = literal_address(url)
                && !policy.addresses.permits(address)
            {
                faults.push(format!(
                    "{address} is a private, local or otherwise special address; use a public one, or have it allowed by the server (HOOKLINE_ALLOW_ADDRESSES)"
                ));
            }
        }
    }
}

/// The address that a host stands for without being looked up: `localhost` always is the loopback (RFC 6761).
fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            (name == "localhost" || name.ends_with(".localhost")).then(|| IpAddr::from([127, 0, 0, 1]))
        }
    }
}

/// Whether a receiver could leave the endpoint that decodes a path before it routes, perhaps more than once, that takes a
/// backslash for a slash, or that cuts off what follows a semicolon.
pub(in crate::domain) fn can_climb(text: &str) -> bool {
    let path = decoded_for_good(text.split('?').next().unwrap_or_default());
    let has_dots = path.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        name == b"." || name == b".."
    });
    has_dots || path.contains(&0) || path.windows(3).any(is_overlong) || path.ends_with(&[0xc0, 0xae])
}

/// Whether bytes begin with a character that is written longer than it must be, which lax decoders take for a full stop,
/// a slash or a backslash.
fn is_overlong(bytes: &[u8]) -> bool {
    let of_ascii = |last: u8, before: u8| matches!((before << 6) | (last & 0x3f), b'.' | b'/' | b'\\');
    match bytes {
        [lead @ (0xc0 | 0xc1), last @ 0x80..=0xbf, ..] => of_ascii(*last, lead & 1),
        [0xe0, middle @ (0x80 | 0x81), last @ 0x80..=0xbf] => of_ascii(*last, middle & 1),
        _ => false,
    }
}

/// A path, percent-decoded until nothing changes.
fn decoded_for_good(path: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        out.push(byte);
        // What was decoded may complete another escape.
        while let [.., b'%', high, low] = out[..] {
            let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (Some(high), Some(low)) = (digit(high), digit(low)) else { break };
            out.truncate(out.len() - 3);
            out.push(high << 4 | low);
        }
    }
    out
}

#[cfg(test)]
#[path = "tests/url.rs"]
mod tests;
