//! Paths into a JSON tree: `custom_fields.<key>.value`, `label_ids[0]`.

use std::fmt;

use super::json::{Json, Node};

/// How long a path may be.
pub const PATH_BYTES_MAX: usize = 512;
/// How many steps a path may have.
pub const PATH_STEPS_MAX: usize = 32;

/// A path into a JSON tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath(Vec<Step>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
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
            let key_length = text[at..].find(|c: char| !is_key_char(c)).unwrap_or(text.len() - at);
            if key_length == 0 {
                return Err((
                    at,
                    if text.trim().is_empty() {
                        "is empty".into()
                    } else {
                        "a name of letters, digits, _ and - expected".into()
                    },
                ));
            }
            steps.push(Step::Key(text[at..at + key_length].into()));
            at += key_length;
            while text[at..].starts_with('[') {
                let end = text[at..].find(']').ok_or((at, "a closing ] expected".to_owned()))?;
                let index = text[at + 1..at + end]
                    .parse()
                    .ok()
                    .filter(|_| text[at + 1..].starts_with(|c: char| c.is_ascii_digit()))
                    .ok_or((at + 1, "an index such as [0] expected".to_owned()))?;
                steps.push(Step::Index(index));
                at += end + 1;
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
                        format!("a full stop or [ expected, found {other:?}; there are no filters or operators"),
                    ));
                }
            }
        }
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The names of the path, without indexes.
    pub fn names(&self) -> String {
        let names = self.0.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        names.collect::<Vec<_>>().join(".")
    }

    /// The path before its last step, where that is a name.
    pub fn without_last(&self, name: &str) -> Option<FieldPath> {
        match self.0.split_last() {
            Some((Step::Key(last), before)) if last == name && !before.is_empty() => Some(FieldPath(before.to_vec())),
            _ => None,
        }
    }

    /// Splits the first step, which must be a name, from the rest.
    pub fn split_root(&self) -> (&str, FieldPath) {
        match self.0.split_first() {
            Some((Step::Key(root), rest)) => (root, FieldPath(rest.to_vec())),
            _ => ("", FieldPath(Vec::new())),
        }
    }

    /// The one value that the path leads to, arrays entered by index only.
    pub fn find<'n, 'a>(&self, node: &'n Node<'a>) -> Option<&'n Node<'a>> {
        self.0.iter().try_fold(node, step_into)
    }

    /// Every value that the path reaches where a name is looked up in each element of an array; `None` stands for
    /// a branch that leads nowhere, and for an array without elements.
    pub fn reach<'n, 'a>(&self, node: &'n Node<'a>) -> Vec<Option<&'n Node<'a>>> {
        let mut found = Vec::with_capacity(1);
        reach_into(&self.0, node, &mut found);
        found
    }

    /// Whether the path, or a null on the way to it, is present.
    pub fn is_present(&self, node: &Node<'_>) -> bool {
        present_in(&self.0, node)
    }
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn step_into<'n, 'a>(node: &'n Node<'a>, step: &Step) -> Option<&'n Node<'a>> {
    match (step, &node.value) {
        (Step::Key(key), Json::Object(_)) => node.get(key),
        (Step::Index(index), Json::Array(items)) => items.get(*index),
        _ => None,
    }
}

fn reach_into<'n, 'a>(steps: &[Step], node: &'n Node<'a>, found: &mut Vec<Option<&'n Node<'a>>>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(Some(node));
        return;
    };
    match (step, &node.value) {
        (Step::Key(_), Json::Array(items)) if !items.is_empty() => {
            for item in items {
                reach_into(steps, item, found);
            }
        }
        _ => match step_into(node, step) {
            Some(next) => reach_into(rest, next, found),
            None => found.push(None),
        },
    }
}

fn present_in(steps: &[Step], node: &Node<'_>) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return true;
    };
    match (step, &node.value) {
        (_, Json::Null) => true,
        (Step::Key(_), Json::Array(items)) => items.iter().any(|item| present_in(steps, item)),
        _ => step_into(node, step).is_some_and(|next| present_in(rest, next)),
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => write!(f, "{key}")?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::json;

    #[test]
    fn paths_read_and_lead_to_values() {
        let node = json::parse(r#"{"a": {"b": [{"c": 1}, {"c": 2}, {}]}, "l": [24, 25], "n": null}"#).expect("valid");
        let raw = |text: &str| FieldPath::parse(text).expect(text).find(&node).map(|node| node.raw);
        assert_eq!(raw("a.b[1].c"), Some("2"));
        assert_eq!(raw("l[0]"), Some("24"));
        assert_eq!(raw("l[2]"), None);
        assert_eq!(raw("a.b.c"), None, "no array is entered without an index");
        let reached = FieldPath::parse("a.b.c").expect("valid").reach(&node).len();
        assert_eq!(reached, 3);
        assert_eq!(FieldPath::parse("a.b[1].c").expect("valid").to_string(), "a.b[1].c");
        for (text, at) in
            [("", 0), ("a..b", 2), ("a.", 2), ("a[x]", 2), ("a[1", 1), ("a b", 1), ("a[+1]", 2), ("[0]", 0)]
        {
            assert_eq!(FieldPath::parse(text).expect_err(text).0, at, "{text}");
        }
        for (text, present) in [("a.b", true), ("n.x.y", true), ("l.x", false), ("z", false), ("a.b.c", true)] {
            assert_eq!(FieldPath::parse(text).expect(text).is_present(&node), present, "{text}");
        }
    }
}
