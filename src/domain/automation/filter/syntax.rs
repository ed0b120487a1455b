//! How filters are written.

/// How much of what somebody has written is shown.
const SHOWN_CHARS_MAX: usize = 60;

/// The pieces of a text between separators that stand outside of quotation marks and brackets, and where each begins.
pub fn pieces(text: &str, separator: char) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut begin, mut quote, mut is_escaped) = (0, None, false);
    for (at, one) in text.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if one == '\\' => is_escaped = true,
            Some(open) if one == open => quote = None,
            Some(_) => {}
            None if matches!(one, '\'' | '"') => quote = Some(one),
            None if one == separator => {
                found.push((begin, &text[begin..at]));
                begin = at + one.len_utf8();
            }
            None => {}
        }
    }
    found.push((begin, &text[begin..]));
    found
}

/// What stands in quotation marks, in which a backslash takes the next character as it is. The error has the byte at fault.
pub fn unquoted(text: &str) -> Result<String, (usize, String)> {
    let mut characters = text.char_indices();
    let Some((_, quote)) = characters.next() else { return Err((0, "is empty".to_owned())) };
    let mut plain = String::new();
    while let Some((at, one)) = characters.next() {
        if one == '\\' {
            plain.extend(characters.next().map(|(_, next)| next));
        } else if one == quote {
            let rest = &text[at + 1..];
            return match rest.trim().is_empty() {
                true => Ok(plain),
                false => Err((at + 1, "nothing may stand behind the closing quotation mark".to_owned())),
            };
        } else {
            plain.push(one);
        }
    }
    Err((0, "the quotation mark is not closed".to_owned()))
}

/// The beginning of what somebody has written, to be shown.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Says that there is no such filter, and which one may be meant.
pub fn unknown<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let name = shown(name);
    let most = name.chars().count().div_ceil(2).min(4);
    let nearest = known.into_iter().map(|known| (strsim::levenshtein(known, &name), known)).min();
    match nearest.filter(|(distance, _)| *distance <= most) {
        Some((_, nearest)) => format!("there is no filter {name:?}: is {nearest} meant?"),
        None => format!("there is no filter {name:?}"),
    }
}
