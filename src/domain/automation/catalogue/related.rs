//! Objects inside of objects: a deal's person, with everything that is known of persons.

use super::{Catalogue, Field};
use crate::domain::path::FieldPath;

/// How many objects a path may lead through; two that are related to each other end there.
const RELATED_DEPTH_MAX: usize = 4;
/// How many fields of related objects are listed with those of an object.
const RELATED_FIELDS_MAX: usize = 1_000;
/// How large they are together, about.
const RELATED_BYTES_MAX: usize = 1024 * 1024;

/// Where a path leads to: an object, and the path in it.
pub struct Home<'c> {
    /// The object.
    pub object: &'c str,
    /// The path in its data.
    pub path: FieldPath,
    /// What leads there, with its full stop; nothing where the object is the one itself.
    pub prefix: String,
}

impl Catalogue {
    /// The object whose field a path leads to: that of the trigger, or one that is inside of it.
    pub(super) fn home<'c>(&'c self, object: &'c str, path: &FieldPath) -> Home<'c> {
        let mut home = Home { object, path: path.clone(), prefix: String::new() };
        for _ in 0..RELATED_DEPTH_MAX {
            // What is said of a field in particular counts more than what is known of an object around it.
            let leads = |field: &&'c Field| home.path.named() == field.path || home.path.beyond(&field.path).is_some();
            let nearest = self.added_to(home.object).iter().filter(leads).max_by_key(|field| field.path.len());
            let into = nearest.and_then(|field| Some((field, field.related.as_ref()?, home.path.beyond(&field.path)?)));
            let Some((field, related, rest)) = into else { break };
            home = Home { object: related.as_str(), path: rest, prefix: format!("{}{}.", home.prefix, field.path) };
        }
        home
    }

    /// The fields of the objects that are inside of an object, by their paths in it.
    pub(super) fn related_fields(&self, object: &str) -> Vec<Field> {
        let own = self.added_to(object);
        let is_own = |path: &str| own.iter().any(|field| field.path == path);
        let mut found = Vec::new();
        let mut bytes = 0;
        for field in own {
            let Some(related) = &field.related else { continue };
            for (inner, _) in self.own_fields(related.as_str()) {
                let path = format!("{}.{}", field.path, inner.path);
                if is_own(&path) {
                    continue;
                }
                let options: usize = inner.options.iter().map(|option| option.id.len() + option.label.len()).sum();
                bytes += path.len() + inner.label.len() + inner.example.as_ref().map_or(0, String::len) + options;
                if found.len() >= RELATED_FIELDS_MAX || bytes > RELATED_BYTES_MAX {
                    return found;
                }
                found.push(Field { path, label: format!("{}: {}", field.label, inner.label), ..inner });
            }
        }
        found
    }
}

#[cfg(test)]
#[path = "tests/related.rs"]
mod tests;
