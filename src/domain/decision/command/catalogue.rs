//! Calls that change the field catalogue of an account.

use std::sync::Arc;

use super::{Command, Done, too_many};
use crate::domain::{
    account::change::ObjectFields,
    automation::catalogue::{Field, OBJECTS_MAX, check_fields},
    decision::draft::Draft,
    id::ObjectName,
    refusal::{Refusal, Violations},
};

/// A service says which fields an object has.
pub fn set_fields(
    draft: &mut Draft<'_, '_>,
    command: &Command,
    object: &ObjectName,
    fields: &Arc<Vec<Field>>,
) -> Result<Done, Refusal> {
    command.caller.require_service(&draft.state.id)?;
    let account = draft.account()?;
    if object.is_notice() {
        let message = format!("{object} is the service's own: its fields are built in, name another object");
        return Err(Refusal::invalid("object", message));
    }
    let mut faults = Violations::default();
    check_fields(fields, &mut faults);
    faults.check()?;
    let mut after = account.catalogue.as_ref().clone();
    after.set(object.clone(), Arc::clone(fields));
    if after.added_objects() > OBJECTS_MAX {
        return Err(too_many("objects_with_added_fields", OBJECTS_MAX));
    }
    draft.change.catalogue = Some(ObjectFields { object: object.clone(), fields: Arc::clone(fields) });
    Ok(Done)
}
