//! Regular expressions: linear in the text that they look at, bounded in size.

use regex::{Regex, RegexBuilder};

/// How long a pattern may be as it is written.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// How large one may be as it is kept in memory, and as large again while it is used.
const COMPILED_BYTES_MAX: usize = 64 * 1024;
/// How deep its groups may nest.
const NESTING_MAX: u32 = 32;
/// How many an automation may have.
pub const PATTERNS_MAX: usize = 10;
/// How much text one looks at in one event; a field with more does not match.
pub const MATCHED_BYTES_MAX: usize = 16 * 1024;

/// A pattern that is ready to be looked for.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str, ignores_case: bool) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("has {} bytes, the limit of a pattern is {PATTERN_BYTES_MAX}", text.len()));
        }
        let built = RegexBuilder::new(text)
            .case_insensitive(ignores_case)
            .nest_limit(NESTING_MAX)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!(
                "is too large: it takes more than {COMPILED_BYTES_MAX} bytes; repeat less, or write [0-9] for \\d and \
                 [A-Za-z0-9_] for \\w"
            ),
            regex::Error::Syntax(fault) => {
                // The last line says what is wrong, those before it show where.
                let last = fault.lines().last().unwrap_or_default();
                format!("is no regular expression: {}", last.trim_start_matches("error: "))
            }
            other => format!("is no regular expression: {other}"),
        })
    }

    /// Whether it stands anywhere in a text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
#[path = "tests/pattern.rs"]
mod tests;
