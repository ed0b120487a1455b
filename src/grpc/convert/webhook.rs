//! Webhooks between protobuf and the domain.

use std::collections::BTreeMap;

use super::{duration, timestamp};
use crate::{
    domain::{
        attempt::{
            FailureClass, SUCCESS_STATUSES_MAX, SuccessStatuses,
            retry_policy::{DELAY_MS_MIN, DELAYS_MAX, PIPEDRIVE_DELAYS_MS, RetryPolicy, SCHEDULE_MS_MAX, Schedule},
        },
        decision::command::{NewWebhook, etag_of},
        id::{AccountId, UserId},
        name::check_display_name,
        refusal::Violations,
        timestamp::Timestamp,
        url::{EndpointUrl, UrlPolicy},
        webhook::{
            DisableReason, Webhook, WebhookKind,
            credentials::Credentials,
            health::Health,
            rate::PER_SECOND_MAX,
            subscription::Subscription,
            traffic::{Attempts, Traffic},
        },
    },
    grpc::pb,
};

/// Reads an endpoint URL, which paths are appended to or not.
pub fn endpoint(
    field: &str,
    (url, takes_paths): (&str, bool),
    policy: &UrlPolicy,
    faults: &mut Violations,
) -> Option<EndpointUrl> {
    match EndpointUrl::parse(url, policy, takes_paths) {
        Ok(endpoint) => Some(endpoint),
        Err(sentences) => {
            for sentence in sentences {
                faults.add(field, sentence);
            }
            None
        }
    }
}

/// A webhook to create; none where something is wrong.
pub fn new_webhook(webhook: pb::Webhook, policy: &UrlPolicy, faults: &mut Violations) -> Option<NewWebhook> {
    let kind = match pb::WebhookKind::try_from(webhook.kind) {
        Ok(pb::WebhookKind::Automation) => Some(WebhookKind::Automation),
        Ok(pb::WebhookKind::Regular) => Some(WebhookKind::Regular),
        Ok(pb::WebhookKind::Unspecified) | Err(_) => {
            faults.add("webhook.kind", "is required: WEBHOOK_KIND_AUTOMATION or WEBHOOK_KIND_REGULAR");
            None
        }
    };
    // Nothing is appended to a regular webhook's.
    let takes_paths = kind != Some(WebhookKind::Regular);
    let endpoint = endpoint("webhook.endpoint_url", (&webhook.endpoint_url, takes_paths), policy, faults);
    let credentials = credentials(webhook.credentials);
    check_display_name(&webhook.display_name, "webhook.display_name", faults);
    credentials.check("webhook.credentials", faults);
    let retry = retry_policy(webhook.retry_policy, faults);
    let success = success_statuses(&webhook.success_statuses, faults);
    let requests_per_second = requests_per_second(webhook.requests_per_second, faults);
    let owner = match webhook.owner_user_id.as_str() {
        "" => None,
        id => faults.take("webhook.owner_user_id", id.parse::<UserId>()),
    };
    let subscription = match webhook.subscription.as_str() {
        "" => None,
        text => subscription(text, faults),
    };
    Some(NewWebhook {
        display_name: webhook.display_name,
        kind: kind?,
        endpoint: endpoint?,
        credentials,
        retry: retry?,
        success: success?,
        requests_per_second,
        owner,
        subscription,
    })
}

/// Reads a subscription.
pub fn subscription(text: &str, faults: &mut Violations) -> Option<Subscription> {
    faults.take("webhook.subscription", text.parse::<Subscription>())
}

/// Reads a limit a second; 0 is none.
pub fn requests_per_second(given: u32, faults: &mut Violations) -> Option<u32> {
    if given > PER_SECOND_MAX {
        faults.add("webhook.requests_per_second", format!("must be 0 (no limit) to {PER_SECOND_MAX}"));
    }
    Some(given).filter(|limit| *limit > 0)
}

/// Reads the statuses that are a success; none given are those from 200 to 299.
pub fn success_statuses(given: &[i32], faults: &mut Violations) -> Option<SuccessStatuses> {
    const AT: &str = "webhook.success_statuses";
    if given.len() > SUCCESS_STATUSES_MAX {
        faults.add(AT, format!("must be at most {SUCCESS_STATUSES_MAX}"));
        return None;
    }
    SuccessStatuses::new(given).map_err(|(at, message)| faults.add(format!("{AT}[{at}]"), message)).ok()
}

/// Reads a retry policy; none given is the installation's.
pub fn retry_policy(given: Option<pb::RetryPolicy>, faults: &mut Violations) -> Option<RetryPolicy> {
    const AT: &str = "webhook.retry_policy";
    let given = given.unwrap_or_default();
    let custom = !given.delays.is_empty();
    let schedule = match pb::RetryPreset::try_from(given.preset) {
        Ok(pb::RetryPreset::Custom) => Some(delays(&given.delays, &format!("{AT}.delays"), faults)?),
        Ok(_) if custom => {
            faults.add(format!("{AT}.delays"), "are only for RETRY_PRESET_CUSTOM");
            return None;
        }
        Ok(pb::RetryPreset::Pipedrive) => Some(PIPEDRIVE_DELAYS_MS.to_vec()),
        Ok(pb::RetryPreset::Unspecified) => None,
        Err(_) => {
            faults.add(format!("{AT}.preset"), "is no preset");
            return None;
        }
    };
    let class = |(at, number): (usize, &i32)| match pb::FailureClass::try_from(*number) {
        Ok(pb::FailureClass::Transport) => Some(FailureClass::Transport),
        Ok(pb::FailureClass::Timeout) => Some(FailureClass::Timeout),
        Ok(pb::FailureClass::Throttled) => Some(FailureClass::Throttled),
        Ok(pb::FailureClass::ServerError) => Some(FailureClass::ServerError),
        Ok(pb::FailureClass::Unspecified) | Err(_) => {
            faults.add(format!("{AT}.final_failures[{at}]"), "is no class of failures");
            None
        }
    };
    let mut final_failures = Vec::new();
    for class in given.final_failures.iter().enumerate().map(class) {
        let class = class?;
        if !final_failures.contains(&class) {
            final_failures.push(class);
        }
    }
    Some(RetryPolicy { schedule: schedule.map(|delays_ms| Schedule { delays_ms }), final_failures })
}

fn delays(given: &[prost_types::Duration], at: &str, faults: &mut Violations) -> Option<Vec<u64>> {
    let found: Option<Vec<_>> = given.iter().map(duration_ms).collect();
    let found = found.filter(|delays| {
        delays.len() <= DELAYS_MAX
            && delays.iter().all(|ms| *ms >= DELAY_MS_MIN)
            && delays.iter().try_fold(0_u64, |sum, ms| sum.checked_add(*ms)).is_some_and(|sum| sum <= SCHEDULE_MS_MAX)
    });
    if found.is_none() {
        faults.add(at, format!("must be at most {DELAYS_MAX}, each of a second or more, three days in all"));
    }
    found
}

/// A duration in milliseconds; none where it is negative or malformed.
pub fn duration_ms(given: &prost_types::Duration) -> Option<u64> {
    let seconds = u64::try_from(given.seconds).ok()?;
    let nanos = u64::try_from(given.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    seconds.checked_mul(1_000)?.checked_add(nanos / 1_000_000)
}

/// A retry policy as it is shown; nothing where it is the installation's.
pub fn shown_retry(policy: &RetryPolicy) -> Option<pb::RetryPolicy> {
    if *policy == RetryPolicy::default() {
        return None;
    }
    let delays = policy.schedule.as_ref().map(|schedule| schedule.delays_ms.as_slice());
    let preset = match delays {
        None => pb::RetryPreset::Unspecified,
        Some(delays) if delays == PIPEDRIVE_DELAYS_MS => pb::RetryPreset::Pipedrive,
        Some(_) => pb::RetryPreset::Custom,
    };
    let duration = |ms: &u64| prost_types::Duration {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or_default(),
    };
    let class = |class: &FailureClass| match class {
        FailureClass::Transport => pb::FailureClass::Transport.into(),
        FailureClass::Timeout => pb::FailureClass::Timeout.into(),
        FailureClass::Throttled => pb::FailureClass::Throttled.into(),
        FailureClass::ServerError => pb::FailureClass::ServerError.into(),
    };
    let is_custom = preset == pb::RetryPreset::Custom;
    Some(pb::RetryPolicy {
        preset: preset.into(),
        delays: delays.filter(|_| is_custom).unwrap_or_default().iter().map(duration).collect(),
        final_failures: policy.final_failures.iter().map(class).collect(),
    })
}

/// Credentials; none where none are given.
pub fn credentials(given: Option<pb::Credentials>) -> Credentials {
    match given.and_then(|given| given.kind) {
        None => Credentials::None,
        Some(pb::credentials::Kind::Basic(basic)) => {
            Credentials::Basic { username: basic.username, password: basic.password.into() }
        }
        Some(pb::credentials::Kind::Bearer(bearer)) => Credentials::Bearer(bearer.token.into()),
        Some(pb::credentials::Kind::Headers(headers)) => {
            let headers = headers.headers.into_iter().map(|(name, value)| (name, value.into()));
            Credentials::Headers(headers.collect::<BTreeMap<_, _>>())
        }
    }
}

/// A webhook; its secrets masked unless they are shown.
pub fn webhook(account: &AccountId, webhook: &Webhook, shows_secrets: bool) -> pb::Webhook {
    let kind = match webhook.kind {
        WebhookKind::Automation => pb::WebhookKind::Automation,
        WebhookKind::Regular => pb::WebhookKind::Regular,
    };
    let shown = match &webhook.credentials {
        Credentials::None => None,
        Credentials::Basic { username, .. } => Some(pb::credentials::Kind::Basic(pb::BasicCredentials {
            username: if shows_secrets { username.clone() } else { String::new() },
            password: String::new(),
        })),
        Credentials::Bearer(_) => Some(pb::credentials::Kind::Bearer(pb::BearerCredentials::default())),
        Credentials::Headers(headers) => {
            let shown = headers.keys().filter(|_| shows_secrets);
            let names = shown.map(|name| (name.clone(), String::new())).collect();
            Some(pb::credentials::Kind::Headers(pb::HeaderCredentials { headers: names }))
        }
    };
    pb::Webhook {
        name: format!("accounts/{account}/webhooks/{}", webhook.id),
        display_name: webhook.display_name.clone(),
        kind: kind.into(),
        endpoint_url: if shows_secrets { webhook.endpoint.as_str().to_owned() } else { webhook.endpoint.masked() },
        credentials: shown.map(|kind| pb::Credentials { kind: Some(kind) }),
        enabled: webhook.disabled.is_none(),
        etag: etag_of(webhook.revision),
        create_time: Some(timestamp(webhook.created_at)),
        update_time: Some(timestamp(webhook.updated_at)),
        retry_policy: shown_retry(&webhook.retry),
        success_statuses: webhook.success.named().iter().map(|status| i32::from(*status)).collect(),
        requests_per_second: webhook.requests_per_second.unwrap_or_default(),
        disable_reason: disable_reason(webhook.disabled),
        subscription: webhook.subscription.as_ref().map(ToString::to_string).unwrap_or_default(),
        owner_user_id: webhook.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
        health: None,
    }
}

/// Why nothing is sent to a webhook.
pub fn disable_reason(reason: Option<DisableReason>) -> i32 {
    match reason {
        None => pb::WebhookDisableReason::Unspecified,
        Some(DisableReason::Admin) => pb::WebhookDisableReason::Admin,
        Some(DisableReason::Gone) => pb::WebhookDisableReason::Gone,
        Some(DisableReason::Failing) => pb::WebhookDisableReason::Failing,
        Some(DisableReason::Asked) => pb::WebhookDisableReason::Asked,
        Some(DisableReason::Unreadable) => pb::WebhookDisableReason::Unreadable,
    }
    .into()
}

/// How a webhook's endpoint does, as it is shown.
pub fn webhook_health(account: &AccountId, health: &Health, traffic: &Traffic, now: Timestamp) -> pb::WebhookHealth {
    let day = traffic.day(now);
    let attempts = day.succeeded + day.failed;
    #[expect(clippy::cast_precision_loss, reason = "a share of counts far below 2^52")]
    let success_rate = if attempts == 0 { 0.0 } else { day.succeeded as f64 / attempts as f64 };
    let last_failure = traffic.last_failure.as_ref().map(|failure| pb::WebhookFailure {
        fail_time: Some(timestamp(failure.at)),
        reason: failure.reason.as_str().to_owned(),
        http_status: failure.status.map(i32::from).unwrap_or_default(),
        execution: format!("accounts/{account}/executions/{}", failure.execution),
    });
    let hour = |(began, attempts): (Timestamp, Attempts)| pb::WebhookHour {
        start_time: Some(timestamp(began)),
        succeeded_attempts: attempts.succeeded,
        failed_attempts: attempts.failed,
        mean_duration: Some(duration(attempts.mean_us)),
        slowest_duration: Some(duration(attempts.slowest_us)),
    };
    pb::WebhookHealth {
        unavailable: health.breaker.opens_at().is_some(),
        unavailable_until_time: health.breaker.opens_at().map(timestamp),
        succeeded_attempts: day.succeeded,
        failed_attempts: day.failed,
        success_rate,
        mean_duration: Some(duration(day.mean_us)),
        slowest_duration: Some(duration(day.slowest_us)),
        last_failure,
        hours: traffic.of_hours(now).map(hour).collect(),
    }
}
