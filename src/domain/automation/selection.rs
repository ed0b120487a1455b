//! The automations of one trigger, and those of them that an event may fit: found by what their conditions demand, so that
//! an event costs what it matches, and not what there is.

use std::{collections::HashMap, sync::Arc};

use super::{automation::Automation, condition::ValueKey, miss::Automations};
use crate::domain::{json::Node, path::FieldPath};

/// The automations of one trigger.
#[derive(Debug, Clone)]
pub struct Selection {
    /// All of them, in the order of their unique ids.
    pub all: Automations,
    /// By a field, and by its value, the places of those that demand it. Only those that are enabled.
    by_value: HashMap<FieldPath, HashMap<ValueKey, Vec<usize>>>,
    /// The places of the others that are enabled.
    others: Vec<usize>,
}

impl Selection {
    /// Makes automations ready to be selected from; they are in the order of their unique ids.
    pub fn new(all: Vec<Arc<Automation>>) -> Self {
        let mut by_value: HashMap<_, HashMap<_, Vec<_>>> = HashMap::new();
        let mut others = Vec::new();
        for (at, automation) in all.iter().enumerate().filter(|(_, automation)| automation.is_active()) {
            let Some(demand) = automation.compiled.conditions.demand() else {
                others.push(at);
                continue;
            };
            let places = by_value.entry(demand.field).or_default();
            for value in demand.values {
                places.entry(value).or_default().push(at);
            }
        }
        Self { all: all.into(), by_value, others }
    }

    /// Whether none of them can be triggered.
    pub fn is_empty(&self) -> bool {
        self.others.is_empty() && self.by_value.is_empty()
    }

    /// Those whose demands an event meets, and those that have none, in order.
    pub fn candidates(&self, data: &Node<'_>) -> Vec<&Arc<Automation>> {
        let mut places = self.others.clone();
        for (field, by_value) in &self.by_value {
            let keys = ValueKey::all_of(field, data);
            places.extend(keys.iter().filter_map(|key| by_value.get(key)).flatten());
        }
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(|at| self.all.get(at)).collect()
    }
}

#[cfg(test)]
#[path = "tests/selection.rs"]
mod tests;
