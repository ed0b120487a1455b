//! Which executions of a history are meant.

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::domain::{
    attempt::Reason,
    id::{EntityId, EventId, ObjectName, ResourceId, UserId},
    timestamp::Timestamp,
};

/// Which executions are meant: those that everything that is given fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecutionFilter {
    /// Only what this user may read: of automations they own, or caused by their acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<UserId>,
    /// Only those of the automation of this id, living or deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automation: Option<ResourceId>,
    /// Only those with a request to the webhook of this id, living or deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<ResourceId>,
    /// Only those in one of these states.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<State>,
    /// Only those with one of these reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// Only those caused by this event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// Only those of this kind of object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectName>,
    /// Only those of this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<EntityId>,
    /// Only those made at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// Only those made before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}
