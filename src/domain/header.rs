//! Which headers of requests are ours, which an endpoint's credentials may name, and which an action may.

/// How long a header's name may be.
const NAME_BYTES_MAX: usize = 64;

/// Headers that the service sets itself.
const OWN: [&str; 14] = [
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "user-agent",
    "traceparent",
    "tracestate",
];
/// What the names of such headers begin with.
const OWN_PREFIXES: [&str; 3] = ["webhook-", "hookline-", "proxy-"];
/// Headers of ours that an action may name all the same.
const OPEN: [&str; 2] = ["content-type", "user-agent"];
/// Headers by which servers take a request for another one than it is: of another path, method or sender.
const LEADING_AWAY: [&str; 17] = [
    "forwarded",
    "via",
    "proxy",
    "remote-user",
    "true-client-ip",
    "cf-connecting-ip",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-remote-user",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];
/// What the names of such headers begin with.
const LEADING_AWAY_PREFIXES: [&str; 3] = ["x-forwarded", "x-original-", "x-rewrite-"];

/// A name as servers read it: many take _ for -, and none tells capital letters.
pub fn plain_name(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Whether a name is one.
pub fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_part)
}

/// Whether the service sets a header of a plain name itself.
pub fn is_own(plain: &str) -> bool {
    OWN.contains(&plain) || OWN_PREFIXES.iter().any(|prefix| plain.starts_with(prefix))
}

/// Headers by which an answer comes so that credentials in it could not be found and masked.
const UNREADABLE: [&str; 4] = ["accept-charset", "accept-encoding", "if-range", "range"];

/// Why an action may not name a header. What was saved before a name came to these is not sent.
pub fn is_kept_back(name: &str) -> Option<&'static str> {
    let plain = &*plain_name(name);
    let leads_away =
        LEADING_AWAY.contains(&plain) || LEADING_AWAY_PREFIXES.iter().any(|prefix| plain.starts_with(prefix));
    match plain {
        _ if OPEN.contains(&plain) && name.contains('_') => Some("is written with a hyphen"),
        _ if OPEN.contains(&plain) => None,
        _ if UNREADABLE.contains(&plain) => {
            Some("is refused: what answers say could not be read and cleared of secrets")
        }
        "authorization" | "cookie" => Some("is for credentials: set them at the webhook, where they are kept secret"),
        _ if is_own(plain) => Some("is set by the service itself"),
        _ if leads_away => Some("is refused: servers take a request with it for another one"),
        _ => None,
    }
}
