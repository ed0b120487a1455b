use proptest::prelude::*;

use super::*;
use crate::domain::{
    automation::{
        catalogue::{Catalogue, Field, FieldOption, FieldType},
        placeholder::{Placeholder, Rendering},
    },
    event::Event,
    id::ExecutionUid,
    json,
};

const DATA: &str = r#"{
    "title": " Big Deal ", "value": 10.50, "count": 7, "none": null, "yes": true, "no": false, "empty": "",
    "currency": "EUR", "due": "2026-02-28", "added": "2026-02-28T22:30:00Z", "plain": "2026-02-28 22:30:00",
    "epoch": 1772317800, "nulls": [null], "tags": ["b", "a", "b", null], "numbers": [3, 1.0, 1, 20],
    "products": [
        {"name": "Chair", "price": 12.50, "stock": true, "sizes": ["S", "M"]},
        {"name": "Desk", "price": 200, "stock": false, "sizes": []},
        {"name": "Lamp", "price": 30, "stock": true, "sizes": ["L"]}
    ],
    "visible_to": 3
}"#;

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let options = vec![FieldOption { id: "3".into(), label: "Everyone".into() }];
    let field = Field {
        path: "visible_to".into(),
        label: "Seen".into(),
        kind: FieldType::Option,
        options,
        example: None,
        related: None,
    };
    catalogue.set("deal".parse().expect("a name"), std::sync::Arc::new(vec![field]));
    catalogue
}

/// Reads what placeholders stand for with some data.
fn with_data<T>(data: &str, read: impl FnOnce(Scope<'_>) -> T) -> T {
    let (event, catalogue) = (Event::sample("e-1"), catalogue());
    let data = json::parse(data).expect("data");
    read(Scope {
        event: &event,
        data: &data,
        previous: None,
        account: &"42".parse().expect("an id"),
        automation_name: "one",
        execution: ExecutionUid(uuid::Uuid::nil()),
        catalogue: &catalogue,
    })
}

/// What a placeholder is as JSON, and what was warned of.
fn made(text: &str) -> (String, Vec<String>) {
    let placeholder = Placeholder::parse(text, &"deal".parse().expect("a name"));
    let placeholder = placeholder.unwrap_or_else(|(at, error)| panic!("{text}: {error} at {at}"));
    let rendering = Rendering::default();
    let json = with_data(DATA, |scope| {
        let mut json = String::new();
        match placeholder.value(scope, &rendering) {
            Ok(value) => value.typed_into(&mut json),
            Err(_) => json.push_str("MISSING"),
        }
        json
    });
    (json, rendering.warnings())
}

/// Examples of Liquid's own documentation, and where ours differs the difference.
#[test]
fn filters_do_what_liquid_says() {
    let cases = [
        // https://shopify.github.io/liquid/filters/…
        ("-17 | abs", "17"),
        ("'-19.86' | abs", "19.86"),
        ("'/my/fancy/url' | append: '.html'", r#""/my/fancy/url.html""#),
        ("4 | at_least: 5", "5"),
        ("4 | at_most: 3", "3"),
        ("'my GREAT title' | capitalize", r#""My great title""#),
        ("1.2 | ceil", "2"),
        ("183.357 | ceil", "184"),
        ("'3.5' | ceil", "4"),
        ("deal.tags | compact", r#"["b", "a", "b"]"#),
        ("deal.none | default: 2.99", "2.99"),
        ("4.99 | default: 2.99", "4.99"),
        ("'' | default: 2.99", "2.99"),
        ("deal.no | default: true", "true"),
        ("16 | divided_by: 4", "4"),
        ("20 | divided_by: 7", "2"),
        ("20 | divided_by: 7, 4", "2.8571"),
        ("-20 | divided_by: 7", "-3"),
        ("'Parker Moore' | downcase", r#""parker moore""#),
        (
            r#"'Have you read "James & the Giant Peach"?' | escape"#,
            r#""Have you read &quot;James &amp; the Giant Peach&quot;?""#,
        ),
        ("'apples, oranges' | split: ', ' | first", r#""apples""#),
        ("1.2 | floor", "1"),
        ("-1.2 | floor", "-2"),
        ("'John, Paul, George' | split: ', ' | join: ' and '", r#""John and Paul and George""#),
        ("deal.tags | join", r#""b a b ""#),
        ("'a b c' | split: ' ' | last", r#""c""#),
        ("deal.products | map: 'name'", r#"["Chair", "Desk", "Lamp"]"#),
        ("4 | minus: 2", "2"),
        ("183.357 | minus: 12", "171.357"),
        ("3 | modulo: 2", "1"),
        ("-7 | modulo: 3", "2"),
        ("183.357 | modulo: 12", "3.357"),
        ("4 | plus: 2", "6"),
        ("0.1 | plus: 0.2", "0.3"),
        ("'apples' | prepend: 'red '", r#""red apples""#),
        ("'I strained to see' | remove: 'rain'", r#""I sted to see""#),
        ("'Take my protein' | replace: 'my', 'your'", r#""Take your protein""#),
        ("deal.numbers | reverse", "[20, 1, 1.0, 3]"),
        ("1.2 | round", "1"),
        ("2.5 | round", "3"),
        ("-2.5 | round", "-3"),
        ("183.357 | round: 2", "183.36"),
        ("10.5 | round: 2", "10.50"),
        ("'Ground control' | size", "14"),
        ("deal.products | size", "3"),
        ("'Liquid' | slice: 0", r#""L""#),
        ("'Liquid' | slice: 2, 5", r#""quid""#),
        ("'Liquid' | slice: -3, 2", r#""ui""#),
        ("deal.numbers | slice: 1, 2", "[1.0, 1]"),
        ("deal.numbers | sort", "[1.0, 1, 3, 20]"),
        ("deal.tags | sort", r#"["a", "b", "b", null]"#),
        ("deal.products | sort: 'price' | map: 'name'", r#"["Chair", "Lamp", "Desk"]"#),
        ("'a~b~~' | split: '~'", r#"["a", "b"]"#),
        ("'abc' | split: ''", r#"["a", "b", "c"]"#),
        ("deal.title | strip", r#""Big Deal""#),
        ("deal.numbers | sum", "25"),
        ("deal.products | sum: 'price'", "242.5"),
        ("3 | times: 2", "6"),
        ("183.357 | times: 12", "2200.284"),
        ("'Ground control to Major Tom.' | truncate: 20", r#""Ground control to...""#),
        ("'Ground control to Major Tom.' | truncate: 25, ', and so on'", r#""Ground control, and so on""#),
        ("'short' | truncate: 20", r#""short""#),
        ("deal.tags | uniq", r#"["b", "a", null]"#),
        ("deal.numbers | uniq", "[3, 1.0, 20]"),
        ("'Straße' | upcase", r#""STRASSE""#),
        ("'john@liquid.com' | url_encode", r#""john%40liquid.com""#),
        ("'Tetsuro Takara' | url_encode", r#""Tetsuro+Takara""#),
        ("deal.products | where: 'stock' | map: 'name'", r#"["Chair", "Lamp"]"#),
        ("deal.products | where: 'price', 200.0 | map: 'name' | first", r#""Desk""#),
        ("'_#/.' | base64_encode", r#""XyMvLg==""#),
        ("'' | sha256", r#""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855""#),
        ("' a  b ' | split: ' '", r#"["a", "b"]"#),
        // Ours.
        ("99999999999999999999999999999999999998 | divided_by: 3", "33333333333333333333333333333333333332"),
        ("1e100 | modulo: 0.3", "0.1"),
        ("-7 | divided_by: 2, 1", "-3.5"),
        ("7 | divided_by: -2", "-4"),
        ("'9999-12-31' | date: '%d.%m.%Y'", r#""31.12.9999""#),
        ("'9999-12-30' | date_plus: '1 day'", r#""9999-12-31""#),
        (r#"deal.tags | where: 'x'"#, "[]"),
        ("deal.nulls!", "[null]"),
        ("deal.nulls | reverse!", "[null]"),
        ("deal.nulls | compact!", "MISSING"),
        ("deal.nulls.x!", "MISSING"),
        ("deal.visible_to | label", r#""Everyone""#),
        ("deal.visible_to | label | upcase", r#""EVERYONE""#),
        ("deal.value", "10.50"),
        ("deal.value | append: ' ' | append: deal.currency", r#""10.50 EUR""#),
        ("deal.tags | json", r#""[\"b\", \"a\", \"b\", null]""#),
        ("deal.products[0].sizes", r#"["S", "M"]"#),
        ("deal.products.price | sum", "242.5"),
        ("deal.none | append: 'x'", r#""x""#),
        ("deal.none | upcase", "null"),
        ("deal.none | size", "0"),
        ("deal.added | date: '%d.%m.%Y %H:%M'", r#""28.02.2026 22:30""#),
        ("deal.added | date: '%Y-%m-%d %H:%M', 'Europe/Tallinn'", r#""2026-03-01 00:30""#),
        ("deal.plain | date: '%H:%M'", r#""22:30""#),
        ("deal.epoch | date: '%FT%TZ'", r#""2026-02-28T22:30:00Z""#),
        ("deal.due | date: '%A'", r#""Saturday""#),
        ("deal.due | date_plus: '7 days'", r#""2026-03-07""#),
        ("deal.due | date_plus: '-1 month'", r#""2026-01-28""#),
        ("deal.due | date_plus: '90 minutes'", r#""2026-02-28T01:30:00Z""#),
        ("deal.added | date_plus: '1 year'", r#""2027-02-28T22:30:00Z""#),
        ("event.id | upcase", r#""E-1""#),
        ("'{{'", r#""{{""#),
        (r"'it\'s | \\ fine' | upcase", r#""IT'S | \\ FINE""#),
        ("deal.title!", r#"" Big Deal ""#),
        ("deal.none!", "MISSING"),
        ("deal.none! | default: 'x'", "MISSING"),
        ("deal.none | default: 'x'!", r#""x""#),
        ("deal.empty | strip!", "MISSING"),
    ];
    for (text, wanted) in cases {
        let (json, warnings) = made(text);
        assert_eq!((json.as_str(), warnings), (wanted, Vec::<String>::new()), "{text}");
    }
}

#[test]
fn what_a_filter_cannot_take_becomes_null_and_is_told() {
    let cases = [
        ("deal.tags | upcase", "the filter upcase takes a text, not a list"),
        ("deal.products[0] | strip", "the filter strip takes a text, not an object"),
        ("deal.title | plus: 1", "the filter plus takes a number, not a text that is none"),
        ("deal.yes | abs", "the filter abs takes a number, not a boolean"),
        ("deal.count | divided_by: deal.none", "the filter divided_by takes a number, not null"),
        ("deal.title | first", "the filter first takes a list, not a text"),
        ("deal.title | date: '%Y'", "the filter date takes a date or a time, not a text that is none"),
        ("deal.added | date: '%Y', deal.currency", "takes a time zone, and the field has none"),
        ("deal.added | date_plus: '-3000 years'", "leads out of the years 1 to 9999"),
        ("deal.due | date_plus: '-3000 years'", "leads out of the years 1 to 9999"),
        ("'9999-12-31' | date_plus: '1 day'", "leads out of the years 1 to 9999"),
        ("-5 | date: '%Y'", "takes seconds since 1970, and no other number"),
        ("1e-9223372036854775808 | plus: 1", "takes numbers of at most 100 digits"),
        ("1e60 | divided_by: 7e-60", "makes more than 100 digits"),
        ("'1__0' | plus: 1", "not a text that is none"),
        ("deal.products | where: 'sizes', deal.tags", "compares with a text, a number, a boolean or null, not a list"),
        ("deal.products | sort", "orders numbers or texts, not an object"),
        ("deal.title | slice: deal.currency", "takes a whole number here"),
        ("1e90 | times: 1e90", "makes more than 100 digits"),
        ("1e400 | plus: 1", "takes numbers of at most 100 digits"),
        ("deal.count | minus: 7 | modulo: deal.count | divided_by: deal.empty", "not a text that is none"),
        (
            "7 | minus: deal.count | append: '' | times: 1 | prepend: '' | divided_by: 1 | plus: 0 | modulo: deal.zero",
            "not null",
        ),
    ];
    for (text, wanted) in cases {
        let (json, warnings) = made(text);
        assert_eq!(json, "null", "{text}");
        assert!(warnings.len() == 1 && warnings[0].contains(wanted), "{text}: {warnings:?}");
    }
    let (json, warnings) = made("deal.count | divided_by: deal.count | minus: 1 | divided_by: 5 | default: 'none'");
    assert_eq!((json.as_str(), warnings.len()), ("0", 0));
    let (json, warnings) = made("deal.tags | upcase | default: 'none'");
    assert_eq!((json.as_str(), warnings.len()), (r#""none""#, 1), "a default comes to the rescue");
}

#[test]
fn what_can_never_work_is_refused_with_its_place() {
    let cases = [
        ("deal.title | upcas", 13, "there is no filter \"upcas\": is upcase meant?"),
        ("deal.title | zzzzzzzz", 13, "there is no filter \"zzzzzzzz\""),
        ("deal.title |", 12, "there is no filter \"\""),
        ("deal.title | truncate: 'x'", 23, "truncate takes a whole number that is not negative, or a field here"),
        ("deal.title | upcase: 1", 13, "upcase takes 0 arguments, 1 given"),
        ("deal.title | replace: 'a'", 13, "replace takes 2 arguments, 1 given"),
        ("deal.title | append: ", 20, "is empty"),
        ("deal.title | append: 'x", 21, "the quotation mark is not closed"),
        ("deal.title | append: 'x' y", 24, "nothing may stand behind"),
        ("deal.title | append: person.name", 21, "is not known here"),
        ("deal.value | divided_by: 0", 24, "by zero"),
        ("deal.value | modulo: 0.00", 20, "by zero"),
        ("deal.value | divided_by: 3, 21", 28, "decimal places, 0 to 20"),
        ("deal.value | round: deal.count", 20, "decimal places, 0 to 20"),
        ("deal.added | date: '%E'", 19, "is no format of times"),
        ("deal.added | date: '%Y', 'Mars/Base'", 25, "is no time zone"),
        ("deal.added | date_plus: '7 parsecs'", 24, "is no span of time"),
        ("deal.added | date_plus: '99999999999 years'", 24, "too long a span"),
        ("deal.products | map: 'a..b'", 24, "a name of letters"),
        ("deal.title | slice: 1.5", 20, "a whole number, or a field"),
        ("deal.title | truncate: -5", 23, "that is not negative"),
        ("deal.title! !", 10, "one ! is enough"),
        ("deal | label", 0, "label is for a field"),
        ("deal.title | strip | label", 0, "label must be the first filter"),
        ("event.id | label", 0, "label is for a field of the object"),
    ];
    let object = "deal".parse().expect("a name");
    for (text, at, wanted) in cases {
        let (place, message) = Placeholder::parse(text, &object).expect_err(text);
        assert!(message.contains(wanted), "{text}: {message}");
        assert_eq!(place, at, "{text}: {message}");
    }
    let long = format!("deal.title{}", " | strip".repeat(FILTERS_MAX + 1));
    assert!(Placeholder::parse(&long, &object).expect_err("too long").1.contains("more than 20 filters"));
}

#[test]
fn what_grows_without_bound_ends() {
    // 20 times a tenfold, of a text of ten.
    let text =
        format!("'0123456789'{}", " | replace: '0', '00000000000000000000000000000000000000000000000000'".repeat(19));
    let (json, warnings) = made(&text);
    assert_eq!(json, "null");
    assert!(warnings.iter().any(|warning| warning.contains("makes more than 1048576 bytes")), "{warnings:?}");
    let (json, warnings) = made(&format!("'{}' | split: ''", "x".repeat(ITEMS_MAX + 1)));
    assert_eq!(json, "null");
    assert!(warnings[0].contains("makes more than 10000 values"), "{warnings:?}");
}

#[test]
fn the_filters_of_one_request_have_so_much_to_do_and_no_more() {
    let text = format!(r#"{{"t": "{}"}}"#, "x".repeat(100_000));
    let placeholder = Placeholder::parse("deal.t | upcase", &"deal".parse().expect("a name")).expect("parses");
    let rendering = Rendering::default();
    let made = with_data(&text, |scope| {
        let is_made = |_: &i32| placeholder.value(scope, &rendering).is_ok_and(|value| !value.is_empty());
        (0..50).filter(is_made).count()
    });
    assert_eq!(made, 4 * 1024 * 1024 / (100_002 + 256), "of the same request");
    assert!(rendering.warnings()[0].contains("has more to do than the 4194304 bytes"));
}

fn chain() -> impl Strategy<Value = String> {
    let source = prop::sample::select(vec![
        "deal.title",
        "deal.value",
        "deal.none",
        "deal.tags",
        "deal.numbers",
        "deal.products",
        "deal.products[0]",
        "deal.added",
        "deal.due",
        "deal.yes",
        "deal",
        "'a | }} {{'",
        "-1.5e3",
        "event.id",
        "deal.visible_to",
    ]);
    let filter = prop::sample::select(vec![
        "abs",
        "append: deal.tags",
        "append: 'é\"'",
        "at_least: deal.count",
        "at_most: 3",
        "base64_encode",
        "capitalize",
        "ceil",
        "compact",
        "date: '%c'",
        "date_plus: '1 month'",
        "default: 0",
        "divided_by: 3, 5",
        "divided_by: deal.count",
        "downcase",
        "escape",
        "first",
        "floor",
        "join: ','",
        "json",
        "last",
        "map: 'name'",
        "minus: 1",
        "modulo: -2",
        "plus: 1",
        "prepend: 'x'",
        "remove: 'a'",
        "replace: 'a', 'aa'",
        "reverse",
        "round: 2",
        "sha256",
        "size",
        "slice: -2, 5",
        "sort",
        "sort: 'price'",
        "split: ''",
        "strip",
        "sum",
        "sum: 'price'",
        "times: deal.value",
        "truncate: 3",
        "uniq",
        "upcase",
        "url_encode",
        "where: 'stock'",
        "where: 'price', 30",
    ]);
    (source, prop::collection::vec(filter, 0..8)).prop_map(|(source, filters)| {
        filters.into_iter().fold(source.to_owned(), |text, filter| format!("{text} | {filter}"))
    })
}

proptest! {
    #[test]
    fn whatever_filters_make_is_json(text in chain()) {
        let (json, warnings) = made(&text);
        prop_assert!(json::parse(&json).is_ok(), "{text}: {json}");
        prop_assert!(warnings.len() <= 10);
    }
}
