//! Which actions on an object trigger an automation.

use serde::{Deserialize, Serialize};

use crate::domain::event::Action;

/// One or several actions, each once, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct TriggerActions(Vec<Action>);

/// As they are stored: one alone as it has always been, the others beside it.
#[derive(Serialize, Deserialize)]
struct Stored {
    action: Action,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more_actions: Vec<Action>,
}

impl TriggerActions {
    /// Any of some actions; none where there are none, or one is given twice.
    pub fn new(mut actions: Vec<Action>) -> Option<Self> {
        let count = actions.len();
        actions.sort_unstable();
        actions.dedup();
        (count > 0 && actions.len() == count).then_some(Self(actions))
    }

    /// The actions.
    pub fn as_slice(&self) -> &[Action] {
        &self.0
    }

    /// In words, such as `create or change`.
    pub fn words(&self) -> String {
        self.0.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(" or ")
    }
}

impl From<Action> for TriggerActions {
    fn from(action: Action) -> Self {
        Self(vec![action])
    }
}

impl From<Stored> for TriggerActions {
    fn from(stored: Stored) -> Self {
        let mut actions = stored.more_actions;
        actions.push(stored.action);
        actions.sort_unstable();
        actions.dedup();
        Self(actions)
    }
}

impl From<TriggerActions> for Stored {
    fn from(actions: TriggerActions) -> Self {
        let (first, more) = actions.0.split_first().map_or((Action::Change, &[][..]), |(first, more)| (*first, more));
        Self { action: first, more_actions: more.to_vec() }
    }
}
