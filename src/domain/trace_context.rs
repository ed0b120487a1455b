//! The trace context that events and requests carry (W3C).

/// Whether a text is a W3C `traceparent` of version 0.
pub fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let parts: Vec<_> = text.split('-').collect();
    let lengths_fit = parts.iter().map(|part| part.len()).eq([2, 32, 16, 2]);
    lengths_fit
        && parts.iter().all(|part| hex(part))
        && parts[0] == "00"
        && parts[1].bytes().any(|byte| byte != b'0')
        && parts[2].bytes().any(|byte| byte != b'0')
}
