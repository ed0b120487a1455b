use proptest::prelude::*;
use serde_json::Value as Theirs;
use uuid::Uuid;

use super::*;
use crate::domain::{
    automation::{
        catalogue::Catalogue,
        placeholder::{ROOTS, Scope, Trees, parse_text},
    },
    event::{Action, Event},
    id::ExecutionUid,
    timestamp::Timestamp,
};

pub(in crate::domain) fn event(data: &str, previous: Option<&str>) -> Event {
    Event {
        id: "e1".parse().expect("an id"),
        object: "deal".parse().expect("a name"),
        action: Action::Change,
        entity_id: "8".parse().expect("an id"),
        occurred_at: Timestamp(1_700_000_000_000_000),
        user_id: None,
        data: data.to_owned(),
        previous: previous.map(str::to_owned),
        meta: None,
        swapped: false,
        permitted_user_ids: None,
        cause: None,
        trace: None,
    }
}

pub(in crate::domain) fn with_scope<T>(event: &Event, read: impl FnOnce(Scope<'_>) -> T) -> T {
    let trees = Trees::of(event).expect("a valid payload");
    let account = "42".parse().expect("an id");
    read(Scope {
        event,
        data: &trees.data,
        previous: trees.previous.as_ref(),
        account: &account,
        automation_name: "Say \"hi\"\n",
        execution: ExecutionUid(Uuid::from_u128(7)),
        catalogue: &Catalogue::default(),
    })
}

fn compile(spec: &BodySpec) -> Result<BodyTemplate, String> {
    let mut faults = Violations::default();
    let object = "deal".parse().expect("a name");
    let body = BodyTemplate::compile(spec, &object, "body", &mut faults);
    body.ok_or_else(|| faults.check().expect_err("a fault").to_string())
}

fn render(spec: &BodySpec, event: &Event) -> Result<String, BodyFault> {
    let body = compile(spec).expect("compiles");
    with_scope(event, |scope| body.render(scope, 64 * 1024, &Rendering::default()))
}

#[test]
fn bodies_keep_types_where_they_are_asked_to() {
    let event =
        event(r#"{"id": 8, "n": 1e400, "t": "a\"b\\", "l": [24, {"x": null}], "z": null}"#, Some(r#"{"t": "old"}"#));
    let raw = BodySpec::Raw(
        r#"{"id": {{deal.id}}, "n": {{deal.n}}, "t": {{deal.t}}, "s": "<{{ deal.t }}|{{deal.z}}|{{deal.l}}>",
            "l": {{deal.l[1]}}, "no": {{deal.no.where}}, "p": {{previous.t}}, "e": {{event.id}}, "u": {{event.user_id}}}"#
            .into(),
    );
    let rendered = render(&raw, &event).expect("fits");
    assert!(rendered.contains(r#""n": 1e400"#), "{rendered}");
    let read = |text: &str| json::parse(text).map(drop);
    read(&rendered).expect("valid JSON");
    assert!(rendered.contains(r#""s": "<a\"b\\||[24, {\"x\": null}]>""#), "{rendered}");
    assert!(rendered.contains(r#""no": null, "p": "old", "e": "e1", "u": null"#), "{rendered}");
    let entries = [("typed", "{{deal.l}}"), ("text", "{{deal.id}}!"), ("name", "{{automation.name}}"), ("quote\"", "")];
    let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let rendered = render(&BodySpec::KeyValue(entries), &event).expect("fits");
    assert_eq!(rendered, r#"{"typed":[24, {"x": null}],"text":"8!","name":"Say \"hi\"\n","quote\"":""}"#);
}

#[test]
fn lists_keys_in_brackets_and_our_own_words() {
    let mut event = event(
        r#"{"emails": [{"value": "a@b"}, {"label": "x"}, {"value": "c@d"}], "none": [], "a.b": 1, "größe": 2,
            "net price": {"}}": "q\"", "id": 7}, "id": 8, "entity_id": "own"}"#,
        Some(r#"{"id": 9}"#),
    );
    let values = |event: &Event, object: &str, holes: &[&str]| {
        let entries: Vec<_> =
            (holes.iter().enumerate()).map(|(at, hole)| (at.to_string(), (*hole).to_owned())).collect();
        let object = object.parse().expect("a name");
        let mut faults = Violations::default();
        let body = BodyTemplate::compile(&BodySpec::KeyValue(entries), &object, "body", &mut faults);
        let body = body.unwrap_or_else(|| panic!("{:?}", faults.check()));
        let rendered = with_scope(event, |scope| body.render(scope, 64 * 1024, &Rendering::default())).expect("fits");
        let rendered: Theirs = serde_json::from_str(&rendered).expect("JSON");
        holes.iter().enumerate().map(|(at, _)| rendered[at.to_string()].to_string()).collect::<Vec<_>>()
    };
    let holes = [
        "{{deal.emails.value}}",
        "<{{deal.emails.value}}>",
        "{{deal.emails[2].value}}",
        "{{deal.none.value}}",
        "{{deal.absent.value}}",
        "{{deal[\"a.b\"]}}",
        "{{ deal['net price']['}}'] }}",
        "{{deal.größe}}",
        "{{$event.entity_id}}",
        "{{ $previous.id }}",
    ];
    let wanted = [
        r#"["a@b",null,"c@d"]"#,
        r#""<[\"a@b\", null, \"c@d\"]>""#,
        r#""c@d""#,
        "[]",
        "null",
        "1",
        r#""q\"""#,
        "2",
        r#""8""#,
        "9",
    ];
    assert_eq!(values(&event, "deal", &holes), wanted);
    for object in ROOTS {
        event.object = object.parse().expect("a name");
        let own = format!("{{{{{object}.id}}}}");
        let holes = [own.as_str(), "{{$event.id}}", "{{$previous.id}}", "{{$account.id}}"];
        assert_eq!(values(&event, object, &holes), ["8", r#""e1""#, "9", r#""42""#], "{object}");
    }
    event.object = "deal".parse().expect("a name");
    let raw = r#"{"s": "{{deal[\"net price\"].id}}/{{deal['net price'].id}}/{{deal["net price"].id}}", "v": {{deal["net price"].id}}}"#;
    assert_eq!(render(&BodySpec::Raw(raw.into()), &event).expect("fits"), r#"{"s": "7/7/7", "v": 7}"#);
    for (text, message) in [
        (r#"["{{$deal.id}}"]"#, "\"deal\" is not known here: start with previous, event"),
        (r#"["{{deal["a b}}"]"#, "not closed"),
        (r#"["{{deal.a b}}"]"#, "stands in brackets"),
    ] {
        let fault = compile(&BodySpec::Raw(text.into())).expect_err(text);
        assert!(fault.contains(message), "{text}: {fault}");
    }
    let required = |path: &str| BodySpec::KeyValue(vec![("a".to_owned(), format!("{{{{deal.{path}!}}}}"))]);
    assert_eq!(render(&required("id"), &event), Ok(r#"{"a":8}"#.to_owned()));
    assert_eq!(render(&required("absent"), &event), Err(BodyFault::ValueMissing));
    let filtered = r#"{"s": "<{{deal["net price"]["}}"] | append: ' }} \"' | upcase}}>", "n": {{deal.id | times: 1.50}}, "l": {{deal.emails.value | compact | join: ""}}}"#;
    let filtered = filtered.replace("\"\"", "','");
    assert_eq!(
        render(&BodySpec::Raw(filtered), &event).expect("fits"),
        r#"{"s": "<Q\" }} \">", "n": 12, "l": "a@b,c@d"}"#
    );
}

#[test]
fn faults_say_where() {
    for (text, message) in [
        ("{\n \"a\": }", "line 2 column 7"),
        (r#"{"a": "{{person.name}}"}"#, "\"person\" is not known here"),
        (r#"{"a": {{event.name}}}"#, "event has id"),
        (r#"{"a": {{deal..x}}}"#, "line 1 column 14"),
        (r#"{"a": 1, "a": 2}"#, "given twice"),
        (r#"{"a": "{{deal.x | append: \"ab\" | upcas}}"}"#, "is upcase meant? at line 1 column 36"),
        (r#"{"a": "{{deal.x | append: 'it\\'s' | upcas}}"}"#, "is upcase meant? at line 1 column 38"),
        (r#"{"a": "{{deal.x | append: '\u00e9' | upcas}}"}"#, "is upcase meant? at line 1 column 38"),
    ] {
        let fault = compile(&BodySpec::Raw(text.into())).expect_err(text);
        assert!(fault.contains(message), "{text}: {fault}");
    }
    let pairs = vec![("a".to_owned(), "{{deal.x".to_owned()), ("a".to_owned(), "1".to_owned())];
    let fault = compile(&BodySpec::KeyValue(pairs)).expect_err("two faults");
    assert!(fault.contains("entries[0].value") && fault.contains("entries[1].key"), "{fault}");
    let large = event(&format!(r#"{{"t": "{}"}}"#, "x".repeat(70_000)), None);
    assert_eq!(render(&BodySpec::Raw(r#"["{{deal.t}}"]"#.into()), &large), Err(BodyFault::TooLarge));
}

/// JSON texts of every kind: nested, with control characters, surrogate pairs, numbers that no float holds.
pub(in crate::domain) fn any_json() -> impl Strategy<Value = String> {
    let number = prop::sample::select(vec!["1e400", "123456789012345678901234567890", "-0.0", "1.50", "7"]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        number.prop_map(str::to_owned),
        any::<String>().prop_map(|text| Theirs::from(text).to_string()),
        Just(r#""\ud83d\ude00\u0000""#.to_owned()),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(("[abc]", inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_rendered_body_is_valid_json_for_any_event(value in any_json()) {
        let event = event(&format!(r#"{{"a": {value}}}"#), Some(&format!(r#"{{"a": [{value}]}}"#)));
        let raw = BodySpec::Raw(r#"{"t": "x{{deal.a}}y{{previous.a}}", "v": {{deal.a}}, "l": [{{previous.a[0]}}, {{deal.a.b}}]}"#.into());
        let pairs = vec![("v".to_owned(), "{{deal.a}}".to_owned()), ("t".to_owned(), "-{{deal.a}}".to_owned())];
        for spec in [raw, BodySpec::KeyValue(pairs)] {
            let rendered = render(&spec, &event).expect("fits");
            let node = json::parse(&rendered);
            prop_assert!(node.is_ok(), "{}: {:?}", rendered, node);
            let node = node.expect("valid");
            prop_assert_eq!(node.get("v").map(|node| node.raw), Some(value.as_str()), "every byte is kept");
        }
    }
}

proptest! {
    /// Whatever an event says, a form has the entries that were asked for, in their order, and no other.
    #[test]
    fn a_rendered_form_reads_as_its_entries(value in any_json(), text in any::<String>()) {
        let text = Theirs::from(text);
        let event = event(&format!(r#"{{"a": {value}, "t": {text}}}"#), None);
        let written = [("k e&y=", "{{deal.a}}"), ("t", "<{{deal.t}}>&x=1"), ("t", "{{deal.t | upcase}}"), ("é", "%41+")];
        let entries = written.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let rendered = render(&BodySpec::Form(entries), &event).expect("fits");
        let read: Vec<_> = url::form_urlencoded::parse(rendered.as_bytes()).into_owned().collect();
        let keys: Vec<_> = read.iter().map(|(key, _)| key.as_str()).collect();
        prop_assert_eq!(keys, vec!["k e&y=", "t", "t", "é"], "{}", rendered);
        let text = text.as_str().unwrap_or_default();
        prop_assert_eq!(&read[1].1, &format!("<{text}>&x=1"));
        prop_assert_eq!(read[3].1.as_str(), "%41+");
        prop_assert!(rendered.bytes().all(|byte| byte.is_ascii_graphic()), "{}", rendered);
        // A text is what stands there and nothing else.
        let plain = render(&BodySpec::Text("a{{deal.t}}b".to_owned()), &event).expect("fits");
        prop_assert_eq!(plain, format!("a{text}b"));
    }
}

#[test]
fn forms_and_texts_that_are_none_are_refused_at_their_place() {
    let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    for (spec, place, message) in [
        (BodySpec::Form(Vec::new()), "form.entries", "must have 1 to 100 entries"),
        (BodySpec::Form(vec![entry("a", ""); 101]), "form.entries", "must have 1 to 100 entries"),
        (BodySpec::Form(vec![entry("", "x")]), "form.entries[0].key", "must be 1 to 255 characters"),
        (BodySpec::Form(vec![entry("{{deal.id}}", "x")]), "form.entries[0].key", "cannot have a placeholder"),
        (BodySpec::Form(vec![entry("a", "{{deal.id | upcas}}")]), "form.entries[0].value", "is upcase meant?"),
        (BodySpec::Text(String::new()), "text", "choose no_body"),
        (BodySpec::Text("a".repeat(70_000)), "text", "the limit is 65536"),
        (BodySpec::Text("{{deal.id".into()), "text", "is not closed"),
    ] {
        let fault = compile(&spec).expect_err(message);
        assert!(fault.contains(place) && fault.contains(message), "{fault}");
    }
    let large = event(&format!(r#"{{"t": "{}"}}"#, " ".repeat(70_000)), None);
    let spec = BodySpec::Form(vec![entry("t", "{{deal.t}}")]);
    assert_eq!(render(&spec, &large), Err(BodyFault::TooLarge));
    assert_eq!(render(&BodySpec::Text("{{deal.t}}".into()), &large), Err(BodyFault::TooLarge));
}

#[test]
fn placeholders_of_texts_may_be_laid_out_over_lines() {
    let object = "deal".parse().expect("a name");
    let found = parse_text("x {{\n deal.title\n}}", &object).expect("a placeholder");
    assert_eq!(found.len(), 2);
    for text in ["{{deal.a\"}}", "{{deal[\"a}}", "{{deal.a"] {
        assert!(parse_text(text, &object).is_err(), "{text}");
    }
}
