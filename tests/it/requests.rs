//! Requests of every method and kind of body, their headers, and what of an answer is a success.

use hookline::grpc::pb;
use pb::webhook_action::Body;

use crate::harness::{
    Client, Database, Receiver, Server, account_42, automation, bad_field, deal, eventually, regular,
};

crate::on_both_databases!(
    every_method_and_body_arrives_as_it_is_meant,
    a_webhook_says_what_a_success_is,
    an_endpoint_asks_for_no_more,
    several_actions_trigger_one_automation
);

fn header(name: &str, value: &str) -> pb::RequestHeader {
    pb::RequestHeader { name: name.into(), value: value.into() }
}

fn entry(key: &str, value: &str) -> pb::KeyValueEntry {
    pb::KeyValueEntry { key: key.into(), value: value.into() }
}

/// The execution of an event, once it has ended.
async fn ended(service: &Client, event_id: &str) -> pb::Execution {
    let name = eventually("it ends", || async {
        let found = service.history("42").await;
        let one = found.into_iter().find(|one| one.event_id == event_id && one.end_time.is_some());
        one.map(|one| one.name)
    })
    .await;
    service.execution(&name).await
}

async fn every_method_and_body_arrives_as_it_is_meant(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let credentials = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook {
            name: "accounts/42/webhooks/hook".into(),
            credentials: Some(pb::Credentials {
                kind: Some(pb::credentials::Kind::Headers(pb::HeaderCredentials {
                    headers: [("X-Api-Key".to_owned(), "secret-of-the-admin".to_owned())].into(),
                })),
            }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["credentials".into()] }),
        ..Default::default()
    };
    admin.webhooks().update_webhook(admin.ask(credentials)).await.expect("updates");
    let mut made = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let base = made.actions[0].clone();
    let action = |method: pb::HttpMethod, body: Option<Body>, headers: Vec<pb::RequestHeader>| pb::WebhookAction {
        method: method.into(),
        path: "{{deal.id}}".into(),
        body,
        headers,
        ..base.clone()
    };
    let form = pb::FormBody {
        entries: vec![
            entry("full name", "{{deal.title}}"),
            entry("tag", "a&b=c"),
            entry("tag", "{{deal.tags | join: '+'}}"),
            entry("missing", "{{deal.nobody}}"),
        ],
    };
    let smuggling = "x\r\nhost: evil\u{0}{{deal.title}}";
    made.actions = vec![
        action(pb::HttpMethod::Get, None, vec![header("Accept", "text/plain"), header("X-Title", "{{deal.title}}")]),
        action(pb::HttpMethod::Head, Some(Body::NoBody(pb::NoBody {})), vec![header("user-agent", "Tester/1.0")]),
        action(pb::HttpMethod::Patch, Some(Body::Form(form)), vec![header("x_api_key", "{{deal.title}}")]),
        action(
            pb::HttpMethod::Post,
            Some(Body::Text("<deal>{{deal.title | escape}}</deal>\n".into())),
            vec![header("Content-Type", "application/xml"), header("x-empty", "{{deal.nobody}}")],
        ),
        action(pb::HttpMethod::Put, Some(Body::Text("plain {{deal.id}}".into())), Vec::new()),
        action(
            pb::HttpMethod::Post,
            Some(Body::RawJson("{{deal.id}}".into())),
            vec![header("content-type", "application/vnd.api+json")],
        ),
        action(pb::HttpMethod::Delete, Some(Body::NoBody(pb::NoBody {})), Vec::new()),
        action(pb::HttpMethod::Post, Some(Body::NoBody(pb::NoBody {})), Vec::new()),
    ];
    let mut bad = made.clone();
    bad.actions[0].headers[1].value = smuggling.into();
    let refused = admin.create_automation("42", bad).await.expect_err("it smuggles");
    assert_eq!(bad_field(&refused), "automation.actions[0].headers[1].value");
    let saved = admin.create_automation("42", made.clone()).await.expect("creates");
    let without_ids = |automation: &pb::Automation| -> Vec<_> {
        automation.actions.iter().map(|action| (action.method, action.body.clone(), action.headers.clone())).collect()
    };
    let mut shown = without_ids(&made);
    shown[0].1 = Some(Body::NoBody(pb::NoBody {}));
    assert_eq!(without_ids(&saved), shown, "what was given comes back");
    let data = r#"{"id": 8, "title": "Müller\r\nHost: evil & <Co>", "tags": ["x y", "z"]}"#;
    service.publish("42", vec![deal("e-1", "8", data)]).await.expect("acks");
    let execution = ended(&service, "e-1").await;
    assert_eq!(execution.state(), pb::ExecutionState::Succeeded, "{execution:?}");
    let got = receiver.got();
    let of = |at: usize, name: &str| got[at].headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let seen: Vec<_> = got.iter().map(|one| (one.method.as_str(), one.uri.as_str(), one.body.as_str())).collect();
    let in_form = "full+name=M%C3%BCller%0D%0AHost%3A+evil+%26+%3CCo%3E&tag=a%26b%3Dc&tag=x+y%2Bz&missing=";
    let in_xml = "<deal>Müller\r\nHost: evil &amp; &lt;Co&gt;</deal>\n";
    assert_eq!(
        seen,
        [
            ("GET", "/8", ""),
            ("HEAD", "/8", ""),
            ("PATCH", "/8", in_form),
            ("POST", "/8", in_xml),
            ("PUT", "/8", "plain 8"),
            ("POST", "/8", "8"),
            ("DELETE", "/8", ""),
            ("POST", "/8", ""),
        ]
    );
    let types = [
        None,
        None,
        Some("application/x-www-form-urlencoded"),
        Some("application/xml"),
        Some("text/plain; charset=utf-8"),
        Some("application/vnd.api+json"),
        None,
        None,
    ];
    for (at, wanted) in types.into_iter().enumerate() {
        assert_eq!(of(at, "content-type").as_deref(), wanted, "{:?}", got[at]);
        assert_eq!(of(at, "x-api-key").as_deref(), Some("secret-of-the-admin"), "the webhook's own, whatever is asked");
        assert!(of(at, "webhook-signature").is_some() && of(at, "host").is_some_and(|host| host.starts_with("127.")));
        assert!(got[at].headers.get("x_api_key").is_none());
    }
    assert_eq!(of(0, "accept").as_deref(), Some("text/plain"));
    assert_eq!(of(0, "x-title").as_deref(), Some("Müller  Host: evil & <Co>"), "no value ends a line");
    assert_eq!(of(1, "user-agent").as_deref(), Some("Tester/1.0"));
    assert!(of(3, "x-empty").is_none());
    assert_eq!(of(7, "content-length").as_deref(), Some("0"), "many servers answer 411 without it");
    // The history has what was sent.
    let requests = &execution.requests;
    assert_eq!(requests[2].body, in_form.as_bytes());
    assert_eq!((requests[2].content_type.as_str(), requests[0].content_type.as_str()), (types[2].unwrap_or(""), ""));
    assert_eq!(requests[3].body, in_xml.as_bytes());
    assert_eq!(requests[3].headers, [header("content-type", "application/xml")]);
    assert_eq!(requests[0].headers[1], header("x-title", "Müller  Host: evil & <Co>"));
    // Signed as it was sent: a verifier of Standard Webhooks takes it.
    assert!(requests.iter().all(|request| request.attempts.len() == 1 && request.failure.is_empty()));

    let large = pb::Automation {
        actions: vec![action(pb::HttpMethod::Get, None, vec![header("x-title", "{{lead.title}}")])],
        trigger_object: "lead".into(),
        ..automation("42", "hook", "lead", pb::EventAction::Change, "{}")
    };
    let large = pb::Automation {
        actions: vec![pb::WebhookAction { path: String::new(), ..large.actions[0].clone() }],
        ..large
    };
    admin.create_automation("42", large).await.expect("creates");
    let mut lead = deal("e-2", "8", &format!(r#"{{"title": "{}"}}"#, "a".repeat(5_000)));
    if let Some(pb::event_input::Kind::Event(event)) = &mut lead.kind {
        event.object = "lead".into();
    }
    service.publish("42", vec![lead]).await.expect("acks");
    let failed = ended(&service, "e-2").await;
    assert_eq!((failed.state(), failed.reason.as_str()), (pb::ExecutionState::Failed, "HEADERS_TOO_LARGE"));
    assert_eq!(receiver.got().len(), 8, "nothing is sent");
}

async fn a_webhook_says_what_a_success_is(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let set = |statuses: &[i32]| pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook {
            name: "accounts/42/webhooks/hook".into(),
            success_statuses: statuses.to_vec(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["success_statuses".into()] }),
        ..Default::default()
    };
    for status in [0, 100, 301, 408, 425, 429, 500, 99_999, -1] {
        let refused = admin.webhooks().update_webhook(admin.ask(set(&[200, status]))).await.expect_err("no success");
        assert_eq!(bad_field(&refused), "webhook.success_statuses[1]", "{status}");
    }
    let updated = admin.webhooks().update_webhook(admin.ask(set(&[409, 200, 404, 404]))).await.expect("updates");
    assert_eq!(updated.into_inner().webhook.expect("a webhook").success_statuses, [200, 404, 409]);
    admin
        .create_automation("42", automation("42", "hook", "deal", pb::EventAction::Change, "{}"))
        .await
        .expect("creates");
    for (at, status, state, reason) in [
        (1, 404, pb::ExecutionState::Succeeded, ""),
        (2, 409, pb::ExecutionState::Succeeded, ""),
        (3, 200, pb::ExecutionState::Succeeded, ""),
        (4, 202, pb::ExecutionState::Failed, "REJECTED"),
        (5, 410, pb::ExecutionState::Failed, "GONE"),
    ] {
        receiver.answer_with(status);
        let id = format!("e-{at}");
        service.publish("42", vec![deal(&id, "8", "{}")]).await.expect("acks");
        let found = ended(&service, &id).await;
        assert_eq!((found.state(), found.reason.as_str()), (state, reason), "{status}");
        let attempt = &found.requests[0].attempts[0];
        assert_eq!((attempt.http_status, attempt.error_kind.as_str()), (i32::from(status), reason), "{status}");
    }
    let back = admin.webhooks().update_webhook(admin.ask(set(&[]))).await.expect("updates").into_inner();
    assert!(back.webhook.expect("a webhook").success_statuses.is_empty());
    receiver.answer_with(202);
    service.publish("42", vec![deal("e-6", "8", "{}")]).await.expect("acks");
    assert_eq!(ended(&service, "e-6").await.state(), pb::ExecutionState::Succeeded);
}

async fn an_endpoint_asks_for_no_more(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    admin
        .create_automation("42", automation("42", "hook", "deal", pb::EventAction::Change, "{}"))
        .await
        .expect("creates");
    let all = regular("all", &receiver.url, "*.deal");
    admin.webhooks().create_webhook(admin.ask(all)).await.expect("creates");
    receiver.answer_header("webhook-delivery", "Disable");
    service.publish("42", vec![deal("e-1", "8", "{}")]).await.expect("acks");
    let shown = async |id: &str| {
        let request = pb::GetWebhookRequest { name: format!("accounts/42/webhooks/{id}") };
        let shown = admin.webhooks().get_webhook(admin.ask(request)).await.expect("gets").into_inner().webhook;
        let shown = shown.expect("a webhook");
        (shown.enabled, shown.disable_reason())
    };
    eventually("the regular one is disabled", || async {
        (shown("all").await == (false, pb::WebhookDisableReason::Asked)).then_some(())
    })
    .await;
    eventually("both have ended", || async {
        let found = service.history("42").await;
        let is_done = |one: &pb::Execution| one.state() == pb::ExecutionState::Succeeded;
        (found.len() == 2 && found.iter().all(is_done)).then_some(())
    })
    .await;
    let fine = (true, pb::WebhookDisableReason::Unspecified);
    assert_eq!(shown("hook").await, fine, "an automation's webhook is an admin's");
    let again = pb::UpdateWebhookRequest {
        webhook: Some(pb::Webhook { name: "accounts/42/webhooks/all".into(), enabled: true, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        ..Default::default()
    };
    admin.webhooks().update_webhook(admin.ask(again)).await.expect("a person enables it again");
    assert_eq!(shown("all").await, fine);
}

async fn several_actions_trigger_one_automation(database: Database) {
    use pb::EventAction as A;
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let base = automation("42", "hook", "deal", A::Change, r#"{"action": {{event.action}}}"#);
    let on = |one: A, several: &[A]| pb::Automation {
        trigger_action: one.into(),
        trigger_actions: several.iter().map(|action| (*action).into()).collect(),
        ..base.clone()
    };
    for (draft, field) in [
        (on(A::Change, &[A::Create]), "automation.trigger_actions"),
        (on(A::Change, &[A::Change, A::Create]), "automation.trigger_actions"),
        (on(A::Unspecified, &[A::Create, A::Create]), "automation.trigger_actions"),
        (on(A::Unspecified, &[A::Create, A::Unspecified]), "automation.trigger_actions[1]"),
        (on(A::Unspecified, &[]), "automation.trigger_action"),
    ] {
        let refused = admin.create_automation("42", draft).await.expect_err(field);
        assert_eq!(bad_field(&refused), field);
    }
    let one = admin.create_automation("42", on(A::Create, &[A::Create])).await.expect("the same twice is one");
    assert_eq!((one.trigger_action(), one.trigger_actions.len()), (A::Create, 1));
    let both = admin.create_automation("42", on(A::Unspecified, &[A::Delete, A::Create])).await.expect("creates");
    let shown = |automation: &pb::Automation| automation.trigger_actions().collect::<Vec<_>>();
    assert_eq!((both.trigger_action(), shown(&both)), (A::Unspecified, vec![A::Create, A::Delete]));
    let event = |id: &str, action: A| {
        let mut input = deal(id, "8", "{}");
        if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
            event.action = action.into();
        }
        input
    };
    let events = vec![event("e-1", A::Create), event("e-2", A::Change), event("e-3", A::Delete)];
    service.publish("42", events).await.expect("acks");
    let found = eventually("three have ended", || async {
        let found = service.history("42").await;
        (found.len() == 3 && found.iter().all(|one| one.end_time.is_some())).then_some(found)
    })
    .await;
    let of_both = found.iter().filter(|one| one.source.ends_with(both.name.rsplit('/').next().unwrap_or_default()));
    let mut ids: Vec<_> = of_both.map(|one| one.event_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["e-1", "e-3"]);
    let update = |paths: &[&str], automation: pb::Automation| pb::UpdateAutomationRequest {
        automation: Some(pb::Automation { etag: String::new(), ..automation }),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        ..Default::default()
    };
    // Whoever knows only the one field goes on to set it.
    let old = pb::Automation { trigger_action: A::Change.into(), ..one.clone() };
    let answer = admin.automations().update_automation(admin.ask(update(&["trigger_action"], old))).await;
    let changed = answer.expect("updates").into_inner().automation.expect("an automation");
    assert_eq!((changed.trigger_action(), shown(&changed)), (A::Change, vec![A::Change]));
    let more = pb::Automation { trigger_actions: vec![A::Change.into(), A::Create.into()], ..changed };
    let answer = admin.automations().update_automation(admin.ask(update(&["trigger_actions"], more))).await;
    let changed = answer.expect("updates").into_inner().automation.expect("an automation");
    assert_eq!((changed.trigger_action(), shown(&changed)), (A::Unspecified, vec![A::Create, A::Change]));
}
