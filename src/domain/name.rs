//! Names that people give.

use super::refusal::Violations;

/// How long a display name may be.
pub const DISPLAY_NAME_CHARS_MAX: usize = 255;

/// Checks a display name of a webhook or an automation.
pub fn check_display_name(name: &str, at: &str, faults: &mut Violations) {
    if name.trim().is_empty() {
        faults.add(at, "is required");
    } else if name.chars().count() > DISPLAY_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        faults.add(at, format!("must be 1 to {DISPLAY_NAME_CHARS_MAX} characters without control characters"));
    }
}
