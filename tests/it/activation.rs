//! For whom automations are active, and who owns them.

use hookline::grpc::pb;
use tonic::Code;

use crate::harness::{Client, Database, Receiver, Server, automation, deal, reason};

crate::on_both_databases!(an_automation_runs_for_those_it_is_active_for, an_admin_hands_an_automation_over,);

async fn set_up(server: &Server, receiver: &Receiver) -> (Client, Client) {
    let service = server.client("service", "*", &[]).await;
    service.create_account("42", pb::Plan::Power).await.expect("creates");
    let admin = server.client("global_admin", "42", &["--user", "1"]).await;
    admin.create_webhook("42", "hook", &receiver.url).await.expect("creates");
    (service, admin)
}

async fn user(server: &Server, id: &str) -> Client {
    server.client("user", "42", &["--user", id, "--permissions", "automations.write"]).await
}

type Activated = Result<pb::Activation, tonic::Status>;

async fn activate(client: &Client, name: &str, everyone: bool, users: &[&str]) -> Activated {
    let user_ids = users.iter().map(|user| (*user).to_owned()).collect();
    let request = pb::ActivateAutomationRequest { name: name.into(), everyone, user_ids, ..Default::default() };
    let answer = client.automations().activate_automation(client.ask(request)).await?.into_inner();
    Ok(answer.automation.expect("an automation").activation.expect("an activation"))
}

async fn deactivate(client: &Client, name: &str, everyone: bool, users: &[&str]) -> Activated {
    let user_ids = users.iter().map(|user| (*user).to_owned()).collect();
    let request = pb::DeactivateAutomationRequest { name: name.into(), everyone, user_ids, ..Default::default() };
    let answer = client.automations().deactivate_automation(client.ask(request)).await?.into_inner();
    Ok(answer.automation.expect("an automation").activation.expect("an activation"))
}

/// Publishes one event of a user and answers how many executions there are then.
async fn act(service: &Client, id: &str, by: &str) -> usize {
    let mut input = deal(id, "8", "{}");
    if let Some(pb::event_input::Kind::Event(event)) = &mut input.kind {
        event.user_id = by.into();
    }
    assert_eq!(service.publish("42", vec![input]).await.expect("acks"), []);
    service.history("42").await.len()
}

async fn an_automation_runs_for_those_it_is_active_for(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let (seven, eight) = (user(&server, "7").await, user(&server, "8").await);
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let made = seven.create_automation("42", one).await.expect("creates");
    assert_eq!(made.activation.as_ref().map(|active| active.user_ids.clone()), Some(vec!["7".to_owned()]));
    let name = made.name.as_str();
    assert_eq!(act(&service, "e1", "7").await, 1, "the creator's events trigger it");
    assert_eq!(act(&service, "e2", "8").await, 1, "nobody else's");
    assert_eq!(act(&service, "e3", "").await, 1, "nor those without an acting user");

    for (everyone, users) in [(true, &[][..]), (false, &["9"]), (false, &["8", "9"])] {
        let denied = activate(&eight, name, everyone, users).await.expect_err("for others");
        assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
        let denied = deactivate(&eight, name, everyone, users).await.expect_err("for others");
        assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
    }
    let reader = server.client("user", "42", &["--user", "8"]).await;
    let active = activate(&reader, name, false, &[]).await.expect("anyone may for themself, without a permission");
    assert_eq!(active.user_ids, ["7", "8"]);
    assert_eq!(act(&service, "e4", "8").await, 2);
    deactivate(&reader, name, false, &["8"]).await.expect("and back, by name too");
    assert_eq!(act(&service, "e5", "8").await, 2, "with effect from the next event on");

    assert_eq!(activate(&admin, name, false, &["8", "9"]).await.expect("named users").user_ids, ["7", "8", "9"]);
    assert!(activate(&admin, name, true, &[]).await.expect("everyone").everyone);
    for (who, users) in [(&reader, &[][..]), (&reader, &["8"]), (&admin, &["9"])] {
        let refused = deactivate(who, name, false, users).await.expect_err("it would stay active for them");
        assert_eq!((refused.code(), reason(&refused)), (Code::FailedPrecondition, "ACTIVE_FOR_EVERYONE".into()));
        assert!(refused.message().contains("activate it for named users instead"), "{}", refused.message());
    }
    assert_eq!(act(&service, "e6", "").await, 3, "now also events without an acting user");
    server.kill().await;
    let server = Server::start(&database, &[]).await;
    let (service, admin) =
        (server.client("service", "*", &[]).await, server.client("global_admin", "42", &["--user", "1"]).await);
    assert_eq!(act(&service, "e7", "99").await, 4, "activations survive a restart");
    let none = deactivate(&admin, name, true, &[]).await.expect("for everyone");
    assert_eq!((none.everyone, none.user_ids.len()), (false, 0));
    assert_eq!(act(&service, "e8", "7").await, 4);
    let listed = pb::ListAutomationsRequest { parent: "accounts/42".into(), ..Default::default() };
    let listed = admin.automations().list_automations(admin.ask(listed)).await.expect("lists").into_inner();
    assert_eq!(listed.automations[0].activation.as_ref(), Some(&none), "lists show for whom");
}

async fn an_admin_hands_an_automation_over(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = set_up(&server, &receiver).await;
    let one = automation("42", "hook", "deal", pb::EventAction::Change, "{}");
    let made = admin.create_automation("42", one).await.expect("creates");
    act(&service, "e1", "").await;
    let nine = user(&server, "9").await;
    assert_eq!(nine.history("42").await.len(), 0, "not theirs yet");
    let hand_over = pb::UpdateAutomationRequest {
        automation: Some(pb::Automation { name: made.name, owner_user_id: "9".into(), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["owner_user_id".into()] }),
        ..Default::default()
    };
    let denied = nine.automations().update_automation(nine.ask(hand_over.clone())).await.expect_err("by a user");
    assert_eq!(denied.code(), Code::PermissionDenied);
    let answer = admin.automations().update_automation(admin.ask(hand_over)).await.expect("by an admin").into_inner();
    assert_eq!(answer.automation.expect("an automation").owner_user_id, "9");
    assert_eq!(nine.history("42").await.len(), 1, "the owner reads its history");
}
