//! What is fuzzed: each target takes any bytes and must keep what it promises. `fuzz/` drives them with libFuzzer; a test here
//! replays the kept inputs on stable.

use crate::{
    domain::{
        address::AddressPolicy,
        automation::{
            catalogue::Catalogue,
            condition::{Conditions, GroupSpec},
            header::{HeaderSpec, HeaderTemplates},
            path_template::PathTemplate,
            placeholder::{Rendering, Scope, Trees, parse_text},
            template::{BodySpec, BodyTemplate},
        },
        event::{Action, Event, parse_envelope},
        id::{ExecutionUid, ObjectName},
        json,
        refusal::Violations,
        url::{EndpointUrl, UrlPolicy},
        webhook::redaction::Redactor,
    },
    grpc,
};

/// Every target.
pub const TARGETS: [&str; 10] =
    ["body", "path", "condition", "placeholder", "envelope", "page_token", "filter", "token", "redaction", "wire"];

/// An envelope whose event the targets render and decide.
const ENVELOPE: &str = include_str!("../tests/samples/v2-change-deal-custom-field.json");
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Runs a target.
///
/// # Panics
///
/// Where a promise is broken.
pub fn run(target: &str, input: &[u8]) {
    match target {
        "body" => body(&text(input)),
        "path" => path(&text(input)),
        "condition" => condition(input),
        "placeholder" => placeholder(&text(input)),
        "envelope" => envelope(input),
        "page_token" => grpc::fuzzing::read_page_token(&text(input)),
        "filter" => grpc::fuzzing::read_filter(input),
        "token" => grpc::fuzzing::read_token(input),
        "redaction" => redaction(input),
        "wire" => grpc::fuzzing::read_wire(input),
        other => panic!("there is no target {other}"),
    }
}

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// The first line is one thing, the rest another.
fn halves(input: &str) -> (&str, &str) {
    input.split_once('\n').unwrap_or((input, ""))
}

fn object() -> ObjectName {
    "deal".parse().expect("a name")
}

fn event(data: &str) -> Option<Event> {
    let account = "8087566".parse().expect("an id");
    let mut event = parse_envelope(&account, ENVELOPE.as_bytes()).expect("a sample");
    if !data.is_empty() {
        json::parse(data).ok()?;
        data.starts_with('{').then_some(())?;
        event.data = data.to_owned();
    }
    Some(event)
}

fn with_scope(event: &Event, read: impl FnOnce(Scope<'_>)) {
    let Ok(trees) = Trees::of(event) else { return };
    let account = "8087566".parse().expect("an id");
    read(Scope {
        event,
        data: &trees.data,
        previous: trees.previous.as_ref(),
        account: &account,
        automation_name: "An \"automation\"",
        execution: ExecutionUid(uuid::Uuid::from_u128(7)),
        catalogue: &Catalogue::default(),
    });
}

/// A raw body that can be saved renders to valid JSON for any event.
fn body(input: &str) {
    let (template, data) = halves(input);
    let compiled =
        BodyTemplate::compile(&BodySpec::Raw(template.to_owned()), &object(), "body", &mut Violations::default());
    let Some(event) = event(data) else { return };
    let Some(compiled) = compiled else { return form_and_header(template, &event) };
    with_scope(&event, |scope| {
        if let Ok(rendered) = compiled.render(scope, BODY_BYTES_MAX, &Rendering::default()) {
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(&rendered).is_ok(), "no JSON: {rendered}");
        }
    });
    form_and_header(template, &event);
}

/// A form keeps its entries, and a header is one, whatever the event says.
fn form_and_header(template: &str, event: &Event) {
    let entries = vec![("a".to_owned(), template.to_owned()), ("b".to_owned(), "1".to_owned())];
    let form = BodyTemplate::compile(&BodySpec::Form(entries), &object(), "body", &mut Violations::default());
    let header = HeaderSpec { name: "x-a".to_owned(), value: template.to_owned() };
    let header = HeaderTemplates::compile(&[header], &object(), "headers", &mut Violations::default());
    with_scope(event, |scope| {
        let rendered = form.and_then(|form| form.render(scope, BODY_BYTES_MAX, &Rendering::default()).ok());
        if let Some(rendered) = rendered {
            let keys: Vec<_> =
                url::form_urlencoded::parse(rendered.as_bytes()).map(|(key, _)| key.into_owned()).collect();
            assert_eq!(keys, ["a", "b"], "another form: {rendered}");
        }
        for (_, value) in header.and_then(|header| header.render(scope, &Rendering::default()).ok()).unwrap_or_default()
        {
            assert!(!value.chars().any(char::is_control), "more than a header: {value:?}");
        }
    });
}

/// No path leads away from its endpoint, whatever is saved and whatever the event says.
fn path(input: &str) {
    let (template, value) = halves(input);
    for url in ["https://h.example/ok/api/", "https://h.example/ok?api=1&x="] {
        let endpoint =
            EndpointUrl::parse(url, &UrlPolicy { allow_http: false, addresses: AddressPolicy::default() }, true);
        let endpoint = endpoint.expect("a URL");
        let Ok(compiled) = PathTemplate::compile(template, &object(), endpoint.ending()) else { continue };
        let Some(event) = event(&serde_json::json!({"title": value, "id": 8}).to_string()) else { continue };
        with_scope(&event, |scope| {
            let Ok(rendered) = compiled.render(scope, &Rendering::default()) else { return };
            let Ok(joined) = endpoint.join(&rendered) else { return };
            assert!(joined.as_str().starts_with(url), "{joined} is not below {url}");
            let mut read = joined.path().to_owned();
            for _ in 0..4 {
                let segments = read.split(['/', '\\']).map(|segment| segment.split(';').next().unwrap_or_default());
                assert!(segments.clone().all(|segment| segment != ".." && segment != "."), "{joined} climbs as {read}");
                read = percent_decoded(&read);
            }
        });
    }
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| bytes[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Conditions that can be saved can be decided, and their explanation says the same.
fn condition(input: &[u8]) {
    let text = text(input);
    let (spec, data) = halves(&text);
    let Ok(spec) = serde_json::from_str::<GroupSpec>(spec) else { return };
    let Some(event) = event(data) else { return };
    for action in [Action::Create, Action::Change, Action::Delete] {
        let Some(conditions) = Conditions::compile(Some(&spec), &[action], "conditions", &mut Violations::default())
        else {
            continue;
        };
        let catalogue = Catalogue::default();
        let event = Event { action, ..event.clone() };
        let Ok(trees) = Trees::of(&event) else { return };
        let state = trees.state(&event, &catalogue);
        let holds = conditions.hold(state);
        assert_eq!(holds, conditions.hold(state), "the same twice");
        let _ = conditions.explain(state);
    }
}

fn placeholder(input: &str) {
    let _ = parse_text(input, &object());
}

/// An envelope that is taken has the account that it was published for, and can be rendered.
fn envelope(input: &[u8]) {
    let account = "8087566".parse().expect("an id");
    if let Ok(event) = parse_envelope(&account, input) {
        with_scope(&event, |_| {});
        let mut stored = Vec::new();
        event.store_into(&mut stored).expect("can be stored");
        let back = Event::from_stored(event.id.clone(), &stored).expect("can be read");
        assert_eq!(back.data, event.data);
    }
}

/// No secret of eight bytes or more is left where it stands as it is.
fn redaction(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let secret = String::from_utf8_lossy(&input[..at]).into_owned();
    let redactor = Redactor::of_secret(&secret);
    let kept = redactor.text(input.get(at + 1..).unwrap_or_default(), false);
    let is_left = secret.len() >= 8 && kept.windows(secret.len()).any(|window| window == secret.as_bytes());
    assert!(!is_left || secret.contains("***"), "{secret:?} is left");
}

#[cfg(test)]
#[path = "tests/fuzzing.rs"]
mod tests;
