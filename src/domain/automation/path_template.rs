//! Paths of actions: what is appended to an endpoint's URL, and how values stand in it.

use std::fmt::Write as _;

use url::Url;

use super::placeholder::{Part, Placeholder, Rendering, Scope, ValueMissing, parse_text};
use crate::domain::{
    id::ObjectName,
    path::FieldPath,
    url::{Ending, FINAL_URL_BYTES_MAX, can_climb},
};

/// How long an action's path may be as it is written.
pub const PATH_SOURCE_BYTES_MAX: usize = 2_048;

/// Why a path could not be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// It would leave the endpoint, or the URL would be too long.
    Unsafe,
    /// A value that it needs is empty.
    ValueMissing,
}

impl From<ValueMissing> for PathFault {
    fn from(_: ValueMissing) -> Self {
        PathFault::ValueMissing
    }
}

/// An action's path that is ready to be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate(Vec<Part>);

impl PathTemplate {
    /// The fields that it stands for.
    pub fn fields(&self) -> impl Iterator<Item = &FieldPath> {
        self.holes().flat_map(Placeholder::fields)
    }

    /// The fields that it stands for as they are.
    pub fn plain_fields(&self) -> impl Iterator<Item = &FieldPath> {
        self.holes().filter(|hole| !hole.has_filters()).filter_map(Placeholder::field)
    }

    fn holes(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Literal(_) => None,
        })
    }

    /// Checks a path for an endpoint of this ending.
    pub fn compile(text: &str, object: &ObjectName, ending: Ending) -> Result<Self, String> {
        if text.len() > PATH_SOURCE_BYTES_MAX {
            return Err(format!("has {} bytes, the limit is {PATH_SOURCE_BYTES_MAX}", text.len()));
        }
        let template = Self(parse_text(text, object)?);
        let sample: String = (template.0.iter())
            .map(|part| match part {
                Part::Literal(text) => text.as_str(),
                Part::Hole(_) => "x",
            })
            .collect();
        check_literal(&sample, ending)?;
        Ok(template)
    }

    /// Refuses a path that a receiver could climb with. Asked when a path is saved; whatever is stored is checked again
    /// when it is sent.
    pub fn check_safe(&self) -> Result<(), String> {
        let parts = self.0.iter().map(|part| match part {
            Part::Literal(text) => text.as_str(),
            Part::Hole(_) => "x",
        });
        match can_climb(&parts.collect::<String>()) {
            false => Ok(()),
            true => {
                Err("could lead out of the endpoint at a receiver that decodes it: no segment may be . or .. (also as \
                         %2e, behind %2f or %5c, or before a semicolon), and no character NUL"
                    .to_owned())
            }
        }
    }

    /// Renders the path. Values are percent-encoded, so none can add a segment, a query or a host.
    pub fn render(&self, scope: Scope<'_>, rendering: &Rendering) -> Result<String, PathFault> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Hole(hole) => {
                    let value = hole.value(scope, rendering)?;
                    let text = value.as_text();
                    if out.len() + text.len() > FINAL_URL_BYTES_MAX {
                        return Err(PathFault::Unsafe);
                    }
                    encode_into(&text, &mut out);
                }
            }
            if out.len() > FINAL_URL_BYTES_MAX {
                return Err(PathFault::Unsafe);
            }
        }
        Ok(out)
    }
}

fn check_literal(sample: &str, ending: Ending) -> Result<(), String> {
    if sample.contains('#') {
        return Err("must not have a fragment (#), which is never sent".into());
    }
    if ending == Ending::Path && sample.starts_with('/') {
        return Err("must not start with /: the endpoint URL ends with it already".into());
    }
    let base = match ending {
        Ending::Path => "https://endpoint.example/",
        Ending::Query => "https://endpoint.example/?",
    };
    let text = format!("{base}{sample}");
    let broken_percent = |at: usize| {
        let digits = text.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if text.match_indices('%').any(|(at, _)| broken_percent(at)) {
        return Err("a % must be followed by two hexadecimal digits; write a literal one as %25".into());
    }
    let normal = Url::parse(&text).map_err(|error| format!("does not make a URL: {error}"))?;
    if normal.as_str() != text {
        let shown = normal.as_str().strip_prefix(base).unwrap_or(normal.as_str());
        return Err(format!("would be rewritten on its way; write it in its normal form: {shown}"));
    }
    Ok(())
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encode_into(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
#[path = "tests/path_template.rs"]
mod tests;
