//! Paths into a JSON tree: `custom_fields.<key>.value`, `label_ids[0]`, `custom_fields["net price"]`.

use std::fmt;

use super::{
    hole::{Around, end_of_quoted},
    json::{self, Json, Node},
};

/// How long a path may be.
pub const PATH_BYTES_MAX: usize = 512;
/// How many steps a path may have.
pub const PATH_STEPS_MAX: usize = 32;

/// A path into a JSON tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath(Vec<PathStep>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathStep {
    /// Into an object's member.
    Key(String),
    /// Into an array's element.
    Index(usize),
}

impl FieldPath {
    /// Reads a path of at least one step. The error says what is wrong and at which byte.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        if text.len() > PATH_BYTES_MAX {
            return Err((PATH_BYTES_MAX, format!("longer than {PATH_BYTES_MAX} bytes")));
        }
        let mut steps = Vec::new();
        let mut at = 0;
        loop {
            let name_length = text[at..].find(|c: char| !is_name_char(c)).unwrap_or(text.len() - at);
            let may_begin_in_brackets = steps.is_empty() && quoted_at(&text[at..]);
            if name_length == 0 && !may_begin_in_brackets {
                let message = match text[at..].chars().next() {
                    None if text.is_empty() => "is empty".to_owned(),
                    _ => r#"a name of letters, digits, _ and - expected; any other key stands in brackets: ["a.b"]"#
                        .to_owned(),
                };
                return Err((at, message));
            }
            if name_length > 0 {
                steps.push(PathStep::Key(text[at..at + name_length].into()));
                at += name_length;
            }
            while text[at..].starts_with('[') {
                let (step, length) = bracket(&text[at..]).map_err(|(offset, message)| (at + offset, message))?;
                steps.push(step);
                at += length;
            }
            if steps.len() > PATH_STEPS_MAX {
                return Err((at, format!("more than {PATH_STEPS_MAX} steps")));
            }
            match text[at..].chars().next() {
                None => return Ok(Self(steps)),
                Some('.') => at += 1,
                Some(other) => {
                    return Err((
                        at,
                        format!(
                            "a full stop or [ expected, found {other:?}; there are no operators, filters stand behind a | in \
                             placeholders, and a key with such a character stands in brackets: [\"a.b\"]"
                        ),
                    ));
                }
            }
        }
    }

    /// The steps.
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }

    /// The path without its indexes, as it is written.
    pub fn named(&self) -> String {
        let names = self.0.iter().filter(|step| matches!(step, PathStep::Key(_)));
        FieldPath(names.cloned().collect()).to_string()
    }

    /// Whether an index is among its steps.
    pub fn has_index(&self) -> bool {
        self.0.iter().any(|step| matches!(step, PathStep::Index(_)))
    }

    /// The path as it is probably meant where one of its names is a number: with that as an index.
    pub fn named_index(&self) -> Option<FieldPath> {
        let index = |step: &PathStep| match step {
            PathStep::Key(key) if key.bytes().all(|byte| byte.is_ascii_digit()) => {
                key.parse().ok().map(PathStep::Index)
            }
            _ => None,
        };
        let rest = self.0.get(1..)?;
        rest.iter().find_map(index)?;
        let steps =
            self.0[..1].iter().cloned().chain(rest.iter().map(|step| index(step).unwrap_or_else(|| step.clone())));
        Some(FieldPath(steps.collect()))
    }

    /// The rest of the path behind a field, of which its indexes say nothing; none where it does not lead into it.
    pub fn beyond(&self, field: &str) -> Option<FieldPath> {
        let field = FieldPath::parse(field).ok()?;
        let mut steps = self.0.as_slice();
        for wanted in &field.0 {
            let (step, rest) = steps.split_first()?;
            if step != wanted {
                return None;
            }
            steps = &rest[rest.iter().take_while(|step| matches!(step, PathStep::Index(_))).count()..];
        }
        (!steps.is_empty()).then(|| FieldPath(steps.to_vec()))
    }

    /// The path and one more name.
    #[must_use]
    pub fn with(mut self, name: &str) -> Self {
        self.0.push(PathStep::Key(name.to_owned()));
        self
    }

    /// The path before its last step, where that is a name.
    pub fn without_last(&self, name: &str) -> Option<FieldPath> {
        match self.0.split_last() {
            Some((PathStep::Key(last), before)) if last == name && !before.is_empty() => {
                Some(FieldPath(before.to_vec()))
            }
            _ => None,
        }
    }

    /// Splits the first step, which must be a name, from the rest.
    pub fn split_root(&self) -> (&str, FieldPath) {
        match self.0.split_first() {
            Some((PathStep::Key(root), rest)) => (root, FieldPath(rest.to_vec())),
            _ => ("", FieldPath(Vec::new())),
        }
    }

    /// The path as it is probably meant where it leads nowhere: a member has one of its names together, with its full stop.
    pub fn with_whole_key(&self, node: &Node<'_>) -> Option<FieldPath> {
        let mut at = node;
        for (no, step) in self.0.iter().enumerate() {
            let names = self.0[no..].iter().map_while(|step| match step {
                PathStep::Key(key) => Some(key.as_str()),
                PathStep::Index(_) => None,
            });
            let names: Vec<_> = names.collect();
            for count in (2..=names.len()).rev() {
                let whole = names[..count].join(".");
                if at.get(&whole).is_some() {
                    let meant = self.0[..no].iter().cloned().chain([PathStep::Key(whole)]);
                    return Some(FieldPath(meant.chain(self.0[no + count..].iter().cloned()).collect()));
                }
            }
            at = step_into(at, step)?;
        }
        None
    }

    /// What the path leads to; where a name is looked up in an array, what it leads to in each element.
    pub fn find<'n, 'a>(&self, node: &'n Node<'a>) -> Found<'n, 'a> {
        let mut at = node;
        for (no, step) in self.0.iter().enumerate() {
            if let (PathStep::Key(_), Json::Array(_)) = (step, &at.value) {
                let mut found = Vec::new();
                each_into(&self.0[no..], at, &mut found);
                return Found::Each(found);
            }
            match step_into(at, step) {
                Some(next) => at = next,
                None => return Found::Nothing,
            }
        }
        Found::One(at)
    }

    /// Every value that the path reaches where a name is looked up in each element of an array; `None` stands for
    /// a branch that leads nowhere, and for an array without elements.
    pub fn reach<'n, 'a>(&self, node: &'n Node<'a>) -> Vec<Option<&'n Node<'a>>> {
        match self.find(node) {
            Found::One(node) => vec![Some(node)],
            Found::Nothing => vec![None],
            Found::Each(found) if found.is_empty() => vec![None],
            Found::Each(found) => found,
        }
    }

    /// Whether old values tell what the path led to. They do where the path is there, and where they show that it was not:
    /// an ancestor was null, empty, or had no members, or an array, which always is a whole one, was too short. A member
    /// that other members stand beside may be left out because it did not change, but not where what was an object is
    /// something else now.
    pub fn is_told_by(&self, previous: &Node<'_>, data: &Node<'_>) -> bool {
        let (mut at, mut now) = (previous, Some(data));
        for (no, step) in self.0.iter().enumerate() {
            match &at.value {
                Json::Object(members) if members.is_empty() => return no > 0,
                Json::Object(_) => match step_into(at, step) {
                    Some(next) => at = next,
                    None => return no > 0 && now.is_some_and(|now| !matches!(now.value, Json::Object(_))),
                },
                _ => return true,
            }
            now = now.and_then(|now| step_into(now, step));
        }
        true
    }

    /// How far the path leads where it leads nowhere: the last ancestor that is there, and its value.
    pub fn last_ancestor<'n, 'a>(&self, node: &'n Node<'a>) -> Option<(FieldPath, &'n Node<'a>)> {
        let mut at = node;
        for (no, step) in self.0.iter().enumerate() {
            match step_into(at, step) {
                Some(next) => at = next,
                None if no == 0 => return None,
                None => return Some((FieldPath(self.0[..no].to_vec()), at)),
            }
        }
        None
    }
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found<'n, 'a> {
    /// It leads nowhere.
    Nothing,
    /// One value.
    One(&'n Node<'a>),
    /// What it leads to in each element of an array, where that is anything.
    Each(Vec<Option<&'n Node<'a>>>),
}

fn is_name_char(c: char) -> bool {
    unicode_ident::is_xid_continue(c) || c == '-'
}

fn is_name(key: &str) -> bool {
    !key.is_empty() && key.chars().all(is_name_char)
}

fn quoted_at(text: &str) -> bool {
    text.starts_with("[\"") || text.starts_with("['")
}

/// An index, or a key in quotes: the step, and how long it is.
fn bracket(text: &str) -> Result<(PathStep, usize), (usize, String)> {
    if !quoted_at(text) {
        let end = text.find(']').ok_or((0, "a closing ] expected".to_owned()))?;
        let index = text[1..end].parse().ok().filter(|_| text[1..].starts_with(|c: char| c.is_ascii_digit()));
        let index =
            index.ok_or((1, r#"an index such as [0], or a key in quotes such as ["a.b"] expected"#.to_owned()))?;
        return Ok((PathStep::Index(index), end + 1));
    }
    let quote = &text[1..2];
    let not_closed = || (1, "the key is not closed: a quotation mark and ] expected".to_owned());
    let length = end_of_quoted(&text[2..], quote, Around::Text).ok_or_else(not_closed)?;
    let written = &text[2..2 + length];
    if !text[3 + length..].starts_with(']') {
        return Err((3 + length, "a closing ] expected".to_owned()));
    }
    let as_json = match quote {
        "'" => format!("\"{}\"", written.replace("\\'", "'").replace('"', "\\\"")),
        _ => format!("\"{written}\""),
    };
    let key = match json::parse(&as_json).map(|node| node.as_str().map(str::to_owned)) {
        Ok(Some(key)) => key,
        _ => return Err((2, "is no key as JSON writes it: mind its backslashes".to_owned())),
    };
    Ok((PathStep::Key(key), length + 4))
}

fn step_into<'n, 'a>(node: &'n Node<'a>, step: &PathStep) -> Option<&'n Node<'a>> {
    match (step, &node.value) {
        (PathStep::Key(key), Json::Object(_)) => node.get(key),
        (PathStep::Index(index), Json::Array(items)) => items.get(*index),
        _ => None,
    }
}

fn each_into<'n, 'a>(steps: &[PathStep], node: &'n Node<'a>, found: &mut Vec<Option<&'n Node<'a>>>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(Some(node));
        return;
    };
    match (step, &node.value) {
        (PathStep::Key(_), Json::Array(items)) => {
            for item in items {
                each_into(steps, item, found);
            }
        }
        _ => match step_into(node, step) {
            Some(next) => each_into(rest, next, found),
            None => found.push(None),
        },
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                PathStep::Key(key) if !is_name(key) => {
                    let mut quoted = String::new();
                    json::escape_into(key, &mut quoted);
                    write!(f, "[\"{quoted}\"]")?;
                }
                PathStep::Key(key) if at == 0 => write!(f, "{key}")?,
                PathStep::Key(key) => write!(f, ".{key}")?,
                PathStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests/path.rs"]
mod tests;
