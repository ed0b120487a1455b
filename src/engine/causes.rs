//! How long the chain of causes of an event is, where its client names the execution that caused it and no more.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Engine,
    calls::{EngineError, RESTART_REST},
};
use crate::{
    domain::{
        event::{Cause, Event},
        id::{AccountId, ExecutionUid},
    },
    telemetry::chain,
};

impl Engine {
    /// Completes the causes of events: the depth of the execution that is named, and one. An execution that the account
    /// does not have counts as the first of its chain.
    pub(super) async fn complete_causes(
        &self,
        account: &AccountId,
        mut events: Vec<Arc<Event>>,
    ) -> Result<Vec<Arc<Event>>, EngineError> {
        let wanted: HashSet<_> = events.iter().filter_map(|event| named_only(event.cause.as_ref()?)).collect();
        let depths = if wanted.is_empty() {
            HashMap::new()
        } else {
            let wanted: Vec<_> = wanted.into_iter().collect();
            let found = self.shared.store.causation_depths(account, &wanted).await;
            found.map_err(|error| EngineError::Unavailable { why: chain(&error), retry_after: RESTART_REST })?
        };
        for event in events.iter_mut().filter(|event| event.cause.as_ref().is_some_and(|cause| cause.depth == 0)) {
            if let Some(cause) = &mut Arc::make_mut(event).cause {
                let found = named_only(cause).and_then(|uid| depths.get(&uid));
                cause.depth = found.map_or(1, |depth| depth.saturating_add(1));
            }
        }
        Ok(events)
    }
}

/// The execution that a cause names without its depth.
fn named_only(cause: &Cause) -> Option<ExecutionUid> {
    cause.execution_id.as_deref().filter(|_| cause.depth == 0)?.parse().ok()
}
