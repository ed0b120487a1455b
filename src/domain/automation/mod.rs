//! Automations: what triggers them, under which conditions, and what they send.

mod automation;
mod calendar;
pub mod catalogue;
pub mod checks;
pub mod condition;
pub mod event_field;
pub mod filter;
pub mod header;
mod method;
pub mod miss;
pub mod path_template;
pub mod placeholder;
pub mod reference;
pub mod selection;
pub mod template;
mod trigger;
pub mod value;

pub use self::{
    automation::{
        ACTIONS_MAX, ACTIVATION_USERS_MAX, AUTOMATION_BYTES_MAX, ActionSpec, Activation, Automation, AutomationSpec,
        Compiled, CompiledAction, ReadAutomation, UnreadableAutomation, check_action, name_actions, uid_of,
    },
    method::Method,
    trigger::TriggerActions,
};
