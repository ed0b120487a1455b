use proptest::prelude::*;

use super::*;
use crate::domain::{
    automation::{catalogue::Catalogue, placeholder::Trees},
    event::Event,
    id::ExecutionUid,
    refusal::Refusal,
};

fn specs(headers: &[(&str, &str)]) -> Vec<HeaderSpec> {
    headers.iter().map(|(name, value)| HeaderSpec { name: (*name).into(), value: (*value).into() }).collect()
}

fn compile(headers: &[(&str, &str)]) -> Result<HeaderTemplates, Vec<(String, String)>> {
    let mut faults = Violations::default();
    let object = "deal".parse().expect("a name");
    let compiled = HeaderTemplates::compile(&specs(headers), &object, "headers", &mut faults);
    HeaderTemplates::check_names(&specs(headers), "headers", &mut faults);
    match faults.check() {
        Ok(()) => Ok(compiled.expect("no fault")),
        Err(Refusal::Invalid(violations)) => {
            Err(violations.into_iter().map(|violation| (violation.field, violation.message)).collect())
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn render(headers: &[(&str, &str)], title: &str) -> Result<Vec<(String, String)>, HeaderFault> {
    let event = Event { data: serde_json::json!({"title": title, "id": 8}).to_string(), ..Event::sample("e1") };
    let trees = Trees::of(&event).expect("JSON");
    let scope = Scope {
        event: &event,
        data: &trees.data,
        previous: None,
        account: &"42".parse().expect("an id"),
        automation_name: "An automation",
        execution: ExecutionUid(uuid::Uuid::from_u128(7)),
        catalogue: &Catalogue::default(),
    };
    compile(headers).expect("good").render(scope, &Rendering::default())
}

#[test]
fn headers_are_rendered_and_empty_ones_left_out() {
    let headers = [
        ("X-Deal", "{{deal.id}}"),
        ("Content-Type", "application/vnd.api+json"),
        ("accept", "text/plain"),
        ("x_team", "{{deal.team}}"),
        ("x-title", " <{{deal.title | upcase}}> "),
    ];
    let rendered = render(&headers, "größer").expect("rendered");
    let wanted = [
        ("x-deal", "8"),
        ("content-type", "application/vnd.api+json"),
        ("accept", "text/plain"),
        ("x-title", "<GRÖSSER>"),
    ];
    assert_eq!(rendered, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(render(&[("x-team", "{{deal.team!}}")], ""), Err(HeaderFault::ValueMissing));
    assert_eq!(render(&[("x-title", "{{deal.title}}")], &"a".repeat(5_000)), Err(HeaderFault::TooLarge));
    assert_eq!(
        render(&[("x-title", &format!("{{{{deal.title}}}}{}", "x".repeat(3_000)))], &"a".repeat(2_000)),
        Err(HeaderFault::TooLarge)
    );
    let many = ["x-a", "x-b", "x-c"].map(|name| (name, "{{deal.title}}"));
    assert_eq!(render(&many, &"a".repeat(4_000)), Err(HeaderFault::TooLarge));
}

#[test]
fn headers_that_smuggle_are_refused_at_their_place() {
    let long = "a".repeat(65);
    for (name, value, place, message) in [
        ("", "x", "headers[0].name", "1 to 64 characters"),
        ("x y", "x", "headers[0].name", "1 to 64 characters"),
        ("x:y", "x", "headers[0].name", "1 to 64 characters"),
        ("x\r\ny", "x", "headers[0].name", "1 to 64 characters"),
        ("größe", "x", "headers[0].name", "1 to 64 characters"),
        ("{{deal.id}}", "x", "headers[0].name", "1 to 64 characters"),
        (&long, "x", "headers[0].name", "1 to 64 characters"),
        ("Host", "x", "headers[0].name", "Host is set by the service itself"),
        ("content_length", "1", "headers[0].name", "is set by the service itself"),
        ("Transfer-Encoding", "chunked", "headers[0].name", "is set by the service itself"),
        ("Webhook-Id", "x", "headers[0].name", "is set by the service itself"),
        ("hookline_execution_id", "x", "headers[0].name", "is set by the service itself"),
        ("TraceParent", "x", "headers[0].name", "is set by the service itself"),
        ("Authorization", "Bearer x", "headers[0].name", "is for credentials"),
        ("cookie", "a=b", "headers[0].name", "is for credentials"),
        ("X-Forwarded-For", "127.0.0.1", "headers[0].name", "servers take a request with it for another one"),
        ("x_original_url", "/admin", "headers[0].name", "servers take a request with it for another one"),
        ("X-HTTP-Method-Override", "DELETE", "headers[0].name", "servers take a request with it for another one"),
        ("Proxy", "http://evil", "headers[0].name", "servers take a request with it for another one"),
        ("X-Remote-User", "admin", "headers[0].name", "servers take a request with it for another one"),
        ("Accept_Encoding", "br", "headers[0].name", "could not be read and cleared of secrets"),
        ("Range", "bytes=7-", "headers[0].name", "could not be read and cleared of secrets"),
        ("Content_Type", "text/xml", "headers[0].name", "is written with a hyphen"),
        ("x-a", "", "headers[0].value", "is empty"),
        ("x-a", "b\r\nhost: x", "headers[0].value", "must have no line break"),
        ("x-a", "b\u{0}", "headers[0].value", "must have no line break"),
        ("x-a", "{{deal.title | upcse}}", "headers[0].value", "is upcase meant?"),
        ("x-a", "{{nobody.title}}", "headers[0].value", "is not known here"),
        ("x-a", &"a".repeat(5_000), "headers[0].value", "the limit is 4096"),
    ] {
        let found = compile(&[(name, value)]).expect_err(name);
        assert!(found.iter().any(|(at, why)| at == place && why.contains(message)), "{name:?}: {found:?}");
    }
    let twice = compile(&[("X-A", "1"), ("x_a", "2")]).expect_err("twice");
    assert!(twice[0].0 == "headers[1].name" && twice[0].1.contains("given twice"), "{twice:?}");
    let names: Vec<_> = (0..=HEADERS_MAX).map(|at| format!("x-{at}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    assert!(compile(&many).expect_err("many")[0].1.contains("the limit is 20"));
    assert!(compile(&many[1..]).is_ok());
}

proptest! {
    /// Whatever an event says, no value adds a header, or ends the head.
    #[test]
    fn no_value_adds_a_header(title in "\\PC*[\r\n\0\t\u{85}\u{7f}]?\\PC*") {
        let rendered = render(&[("x-title", "a{{deal.title}}b")], &title);
        for (name, value) in rendered.unwrap_or_default() {
            prop_assert!(http::HeaderName::from_bytes(name.as_bytes()).is_ok());
            let sent = http::HeaderValue::from_bytes(value.as_bytes());
            prop_assert!(sent.is_ok() && !value.chars().any(char::is_control), "{:?}", value);
        }
    }
}
