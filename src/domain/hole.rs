//! Holes in a text, where placeholders stand: `{{`, a path and filters, `}}`. What is in quotation marks, keys and the
//! arguments of filters, may have anything in it, braces too.

/// Where a placeholder ends: the offset of the braces that close it, past what is in quotation marks. `is_escaped` where it stands in a
/// JSON string, in which quotes may have a backslash.
pub fn closing_braces(text: &str, is_escaped: bool) -> Option<usize> {
    let bytes = text.as_bytes();
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
                at += end_of_key(&text[at..], quote)? + quote.len();
            }
            None if matches!(bytes[at], b'"' | b'\n') => return None,
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    None
}

/// Where a key in quotes ends. A backslash takes what follows with it; in a JSON string it is two of them that do.
pub fn end_of_key(text: &str, quote: &str) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(quote) {
            return Some(at);
        }
        let taken = match quote {
            "\\\"" if rest.starts_with("\\\\\\") => 4,
            "\\\"" if rest.starts_with("\\\\") => 3,
            _ if rest.starts_with('\\') => 2,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        at += taken;
        while at < text.len() && !text.is_char_boundary(at) {
            at += 1;
        }
    }
    None
}

#[cfg(test)]
#[path = "tests/hole.rs"]
mod tests;
