//! Answers to calls that changed something. Each task has one kind of answer.

use std::{collections::HashMap, sync::Arc};

use secrecy::SecretString;
use uuid::Uuid;

use crate::domain::{
    account::{AccountFacts, IngestIdentity, job::Job},
    automation::{Automation, catalogue::Catalogue},
    execution::{NewExecution, request::Request},
    id::{AccountId, ExecutionUid},
    plan::Plan,
    webhook::Webhook,
};

/// An account as it is now.
#[derive(Debug, Clone)]
pub struct AccountAnswer {
    /// The account.
    pub account: AccountId,
    /// Its own facts.
    pub facts: AccountFacts,
}

/// A webhook as it is now.
#[derive(Debug, Clone)]
pub struct WebhookAnswer {
    /// The account.
    pub account: AccountId,
    /// The webhook.
    pub webhook: Arc<Webhook>,
    /// The signing secret, where it is new.
    pub secret: Option<SecretString>,
    /// What the caller should know of the change.
    pub warnings: Vec<&'static str>,
}

/// An automation as it is now, and what its state and its warnings are made of.
#[derive(Debug, Clone)]
pub struct AutomationAnswer {
    /// The account.
    pub account: AccountId,
    /// The automation.
    pub automation: Arc<Automation>,
    /// The account's plan.
    pub plan: Plan,
    /// The account's catalogue.
    pub catalogue: Arc<Catalogue>,
    /// Those of the automation's webhooks that are not deleted, and whether they are enabled.
    pub living_webhooks: HashMap<Uuid, bool>,
}

/// A new execution.
#[derive(Debug, Clone)]
pub struct ExecutionAnswer {
    /// The account.
    pub account: AccountId,
    /// The execution.
    pub execution: Arc<NewExecution>,
    /// The revision that made it.
    pub revision: i64,
}

/// A job as it is now.
#[derive(Debug, Clone)]
pub struct JobAnswer {
    /// The account.
    pub account: AccountId,
    /// The job.
    pub job: Arc<Job>,
}

/// An ingest identity.
#[derive(Debug, Clone)]
pub struct IngestIdentityAnswer {
    /// The account.
    pub account: AccountId,
    /// The identity.
    pub identity: IngestIdentity,
}

/// A test request that may be sent.
#[derive(Debug, Clone)]
pub struct TestAnswer {
    /// The webhook.
    pub webhook: Arc<Webhook>,
    /// What stands for its execution.
    pub execution: ExecutionUid,
    /// The request.
    pub request: Arc<Request>,
}

/// It is done, and there is nothing to show.
#[derive(Debug, Clone, Copy)]
pub struct Done;

/// The answer to a call that changed something.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each kind says what it is")]
pub enum Answer {
    Account(AccountAnswer),
    Webhook(WebhookAnswer),
    Automation(AutomationAnswer),
    Execution(ExecutionAnswer),
    Job(JobAnswer),
    Test(TestAnswer),
    IngestIdentity(IngestIdentityAnswer),
    Done(Done),
}

/// A kind of answer: whoever gave a task knows which one comes back.
pub trait AnswerKind: Sized {
    /// The answer, where it is of this kind.
    fn of(answer: &Answer) -> Option<&Self>;
}

macro_rules! kinds {
    ($($variant:ident($kind:ident)),*) => {
        $(
            impl AnswerKind for $kind {
                fn of(answer: &Answer) -> Option<&Self> {
                    if let Answer::$variant(found) = answer { Some(found) } else { None }
                }
            }

            impl From<$kind> for Answer {
                fn from(answer: $kind) -> Self {
                    Answer::$variant(answer)
                }
            }
        )*
    };
}

kinds!(
    Account(AccountAnswer),
    Webhook(WebhookAnswer),
    Automation(AutomationAnswer),
    Execution(ExecutionAnswer),
    Job(JobAnswer),
    Test(TestAnswer),
    IngestIdentity(IngestIdentityAnswer),
    Done(Done)
);
