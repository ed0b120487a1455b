//! Faults that tests ask for.

/// Tests of what catches a fault need one: the decision on an event of this id breaks down.
pub const BREAKS_DOWN: &str = "breaks-down";

/// The same of outcomes: of an automation of this name.
pub const OUTCOME_BREAKS_DOWN: &str = "its outcome breaks down";

/// The same of rows that are due: of an automation of this name.
pub const DUE_BREAKS_DOWN: &str = "it breaks down when it is due";
