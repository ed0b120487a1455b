//! Holes in a text, where placeholders stand: `{{`, a path and filters, `}}`. What is in quotation marks, keys and the
//! arguments of filters, may have anything in it, braces too.

/// What a placeholder stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Around {
    /// A text, in which it may be laid out over lines.
    Text,
    /// JSON, in value position.
    Json,
    /// A JSON string, in which quotation marks and backslashes are escaped.
    JsonString,
}

/// Where a placeholder ends: the offset of the braces that close it, past what is in quotation marks.
pub fn closing_braces(text: &str, around: Around) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_escaped = around == Around::JsonString;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        if rest.starts_with("}}") {
            return Some(at);
        }
        let opening = if is_escaped && rest.starts_with("\\\"") {
            Some("\\\"")
        } else if rest.starts_with('"') && (!is_escaped || text[..at].ends_with('[')) {
            Some("\"")
        } else if rest.starts_with('\'') {
            Some("'")
        } else {
            None
        };
        match opening {
            Some(quote) => {
                at += quote.len();
                at += end_of_quoted(&text[at..], quote, around)? + quote.len();
            }
            None if bytes[at] == b'"' || bytes[at] == b'\n' && around != Around::Text => return None,
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    None
}

/// Where what is in quotation marks ends. A backslash takes what follows with it; in a JSON string it is two of them that do.
pub fn end_of_quoted(text: &str, quote: &str, around: Around) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(quote) {
            return Some(at);
        }
        let one = |rest: &str| rest.chars().next().map_or(1, char::len_utf8);
        at += match rest.strip_prefix("\\\\").filter(|_| around == Around::JsonString) {
            Some(next) if next.starts_with('\\') => 4,
            Some(next) => 2 + one(next),
            None if rest.starts_with('\\') => 2,
            None => one(rest),
        };
        while at < text.len() && !text.is_char_boundary(at) {
            at += 1;
        }
    }
    None
}

#[cfg(test)]
#[path = "tests/hole.rs"]
mod tests;
