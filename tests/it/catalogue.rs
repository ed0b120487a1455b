//! The field catalogue: what a picker shows, what saving warns of and refuses, and options by their labels.

use hookline::grpc::pb;
use tonic::Code;

use crate::harness::{
    Client, Database, Receiver, Server, account_42, automation, bad_field, condition, deal, eventually,
};

crate::on_both_databases!(fields_are_known_added_warned_of_and_rendered);

async fn fields(client: &Client, object: &str) -> Vec<pb::CatalogueField> {
    let request = pb::ListFieldsRequest { parent: "accounts/42".into(), object: object.into() };
    client.catalogue().list_fields(client.ask(request)).await.expect("lists").into_inner().fields
}

fn set(object: &str, fields: Vec<pb::CatalogueField>) -> pb::SetFieldsRequest {
    pb::SetFieldsRequest { parent: "accounts/42".into(), object: object.into(), fields, request_id: String::new() }
}

async fn fields_are_known_added_warned_of_and_rendered(database: Database) {
    let server = Server::start(&database, &[]).await;
    let receiver = Receiver::start().await;
    let (service, admin) = account_42(&server, &receiver.url).await;
    let user = server.client("user", "42", &["--user", "7"]).await;
    let title = fields(&user, "deal").await.into_iter().find(|field| field.path == "title").expect("a title");
    assert_eq!((title.label.as_str(), title.r#type(), title.added), ("Title", pb::FieldType::Text, false));
    assert_eq!(title.example_json, "\"100 chairs\"", "an example of every field");
    assert!(fields(&user, "invoice").await.is_empty());

    let option = |id: &str, label: &str| pb::FieldOption { id: id.into(), label: label.into() };
    let tier = pb::CatalogueField {
        path: "custom_fields.tier".into(),
        label: "Tier".into(),
        r#type: pb::FieldType::Enum.into(),
        options: vec![option("17", "Gold \"1\""), option("18", "Silver")],
        ..pb::CatalogueField::default()
    };
    service.catalogue().set_fields(service.ask(set("deal", vec![tier.clone()]))).await.expect("adds");
    let total = pb::CatalogueField {
        path: "total".into(),
        label: "Total".into(),
        r#type: pb::FieldType::Number.into(),
        ..pb::CatalogueField::default()
    };
    service.catalogue().set_fields(service.ask(set("invoice", vec![total.clone()]))).await.expect("adds");
    let objects = pb::ListObjectsRequest { parent: "accounts/42".into() };
    let objects = user.catalogue().list_objects(user.ask(objects)).await.expect("lists").into_inner().objects;
    assert!(["deal", "invoice", "person"].iter().all(|object| objects.iter().any(|known| known == object)));
    assert!(fields(&user, "invoice").await[0].added);
    let shown = fields(&user, "deal").await.into_iter().find(|field| field.path == tier.path).expect("it was added");
    assert_eq!(shown.example_json, r#"{"type":"enum","id":17}"#, "its first option");
    let mut wrong = total.clone();
    wrong.example_json = "\"three\"".into();
    let refused =
        service.catalogue().set_fields(service.ask(set("invoice", vec![wrong]))).await.expect_err("no number");
    assert_eq!(bad_field(&refused), "fields[0].example_json");

    let mut one = automation(
        "42",
        "hook",
        "deal",
        pb::EventAction::Change,
        r#"{"id": {{deal.custom_fields.tier.id}}, "tier": {{deal.custom_fields.tier.label}}, "t": "<{{deal.titel}}>",
            "was": {{previous.custom_fields.tier.label}}}"#,
    );
    one.actions[0].path = "{{deal.custom_fields.tier.label}}".into();
    let made = admin.create_automation("42", one.clone()).await.expect("creates");
    let told: Vec<_> = made.warnings.iter().filter(|warning| warning.contains("no field")).collect();
    assert!(matches!(told.as_slice(), [one] if one.contains("titel") && one.contains("is title meant?")), "{told:?}");
    one.conditions = Some(condition("title", pb::Operator::Gt, &["5"]));
    let refused = admin.create_automation("42", one).await.expect_err("a text is never greater than a number");
    let field = "automation.conditions.conditions[0].clause.operator";
    assert_eq!((refused.code(), bad_field(&refused).as_str()), (Code::InvalidArgument, field));

    let event = |id: &str, tier: u32| {
        deal(id, "8", &format!(r#"{{"custom_fields": {{"tier": {{"type": "enum", "id": {tier}}}}}}}"#))
    };
    let mut changed = event("a", 17);
    if let Some(pb::event_input::Kind::Event(event)) = &mut changed.kind {
        event.previous = br#"{"custom_fields": {"tier": {"type": "enum", "id": 18}}}"#.to_vec().into();
    }
    service.publish("42", vec![changed]).await.expect("acks");
    eventually("it arrives", || async { (receiver.got().len() == 1).then_some(()) }).await;
    let got = &receiver.got()[0];
    let body: serde_json::Value = serde_json::from_str(&got.body).expect("JSON");
    let wanted = serde_json::json!({"id": 17, "tier": "Gold \"1\"", "t": "<>", "was": "Silver"});
    assert_eq!(body, wanted, "the old option has a label, too");
    assert_eq!(got.uri, "/Gold%20%221%22", "a label is encoded like any value");
    assert!(server.terminate().await);

    // It survives, and an option that is called otherwise is at once.
    let server = Server::start(&database, &[]).await;
    let service = server.client("service", "*", &[]).await;
    let mut renamed = tier.clone();
    renamed.options[1].label = "Bronze".into();
    service.catalogue().set_fields(service.ask(set("deal", vec![renamed]))).await.expect("replaces");
    service.publish("42", vec![event("b", 18), event("c", 19)]).await.expect("acks");
    eventually("they arrive", || async { (receiver.got().len() == 3).then_some(()) }).await;
    let mut bodies: Vec<_> = receiver.got().into_iter().skip(1).map(|got| got.body).collect();
    bodies.sort();
    assert!(bodies[0].contains(r#""tier": "Bronze""#), "{bodies:?}");
    assert!(bodies[1].contains(r#""tier": "19""#), "an option that is not known keeps its id: {bodies:?}");

    for (request, field) in [
        (set("Deal", vec![]), "object"),
        (set("deal", vec![pb::CatalogueField { r#type: 0, ..total.clone() }]), "fields[0].type"),
        (set("deal", vec![total.clone(), total.clone()]), "fields[1].path"),
        (set("deal", vec![pb::CatalogueField { label: String::new(), ..total.clone() }]), "fields[0].label"),
        (set("deal", vec![total.clone(); 501]), "fields"),
    ] {
        let refused = service.catalogue().set_fields(service.ask(request)).await.expect_err(field);
        assert_eq!((refused.code(), bad_field(&refused).as_str()), (Code::InvalidArgument, field));
    }
    service.catalogue().set_fields(service.ask(set("invoice", vec![]))).await.expect("takes away");
    let request = pb::ListAuditEntriesRequest {
        parent: "accounts/42".into(),
        resource: "accounts/42/objects/invoice".into(),
        ..Default::default()
    };
    let trail = service.audit().list_audit_entries(service.ask(request)).await.expect("lists").into_inner().entries;
    let told: Vec<_> =
        trail.iter().map(|entry| (entry.action(), entry.role(), entry.changes[0].field.as_str())).collect();
    let by = pb::AuditRole::Service;
    assert_eq!(told, [(pb::AuditAction::Deleted, by, "fields"), (pb::AuditAction::Created, by, "fields")]);
    assert!(trail[1].changes[0].after.contains("Total"), "{trail:?}");
    assert_eq!(database.count("catalogue").await, 2);
}
