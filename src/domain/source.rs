//! What executions are runs of.

/// What an execution is a run of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// An automation.
    Automation,
    /// A regular webhook.
    RegularWebhook,
}
