//! Whether what is written down in files is well-formed, for those who check it before they send it.

use tonic::Status;

use super::automation::new_automation;
use crate::{
    domain::{
        address::AddressPolicy,
        id::AccountId,
        refusal::Violations,
        url::UrlPolicy,
        webhook::{WebhookKind, retry_of},
    },
    grpc::{
        calls::status,
        convert::{self},
        pb,
    },
};

/// Whether a new webhook is well-formed, as far as that can be told without its account and installation.
pub fn check_webhook(webhook: pb::Webhook) -> Result<(), Status> {
    let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|block| block.parse().ok()).collect();
    let policy = UrlPolicy { allow_http: true, addresses: AddressPolicy { allowed: anywhere } };
    let mut faults = Violations::default();
    let _ = convert::new_webhook(webhook, &policy, &mut faults);
    faults.check().map_err(|refusal| status::refused(&refusal))
}

/// How a webhook that is written down tries failed requests again, as it is shown once it is made; nothing where it is the
/// installation's way.
pub fn shown_retry_policy(webhook: &pb::Webhook) -> Result<Option<pb::RetryPolicy>, Status> {
    let kind = match webhook.kind() {
        pb::WebhookKind::Regular => WebhookKind::Regular,
        _ => WebhookKind::Automation,
    };
    let mut faults = Violations::default();
    let read = convert::retry_policy(webhook.retry_policy.clone(), &mut faults);
    faults.check().map_err(|refusal| status::refused(&refusal))?;
    Ok(read.and_then(|read| convert::shown_retry(&retry_of(kind, &read))))
}

/// Whether a new automation is well-formed, as far as that can be told without its account.
pub fn check_automation(account: &AccountId, automation: pb::Automation) -> Result<(), Status> {
    new_automation(account, automation).map(drop)
}
