use proptest::prelude::*;

use super::*;
use crate::domain::{
    automation::template::tests::{event, with_scope},
    url::{Ending, EndpointUrl, UnsafePath, UrlPolicy},
};

fn endpoint(text: &str) -> EndpointUrl {
    EndpointUrl::parse(text, &UrlPolicy::default(), true).expect(text)
}

fn path(text: &str, ending: Ending) -> Result<PathTemplate, String> {
    let template = PathTemplate::compile(text, &"deal".parse().expect("a name"), ending)?;
    template.check_safe()?;
    Ok(template)
}

#[test]
fn a_value_that_a_path_needs_must_not_be_empty() {
    let event = event(
        r#"{"t": "a b", "e": "", "z": null, "l": [], "o": {}, "n": 0, "f": false, "x": [{"y": 1}],
            "p": [{}, {"v": null}, {"v": ""}], "q": [{}, {"v": 5}]}"#,
        None,
    );
    let render = |text: &str| {
        let path = path(text, Ending::Path).expect(text);
        with_scope(&event, |scope| path.render(scope, &Rendering::default()))
    };
    for hole in ["e", "z", "l", "o", "no.where", "l.x", "x.z", "p.v"] {
        assert_eq!(render(&format!("deals/{{{{deal.{hole}!}}}}/x")), Err(PathFault::ValueMissing), "{hole}");
    }
    for (hole, wanted) in
        [("t", "deals/a%20b/x"), ("n", "deals/0/x"), ("f", "deals/false/x"), ("q.v", "deals/%5Bnull%2C%205%5D/x")]
    {
        assert_eq!(render(&format!("deals/{{{{ deal.{hole}! }}}}/x")).as_deref(), Ok(wanted), "{hole}");
    }
    assert_eq!(render("deals/{{deal.e}}/x").as_deref(), Ok("deals//x"), "without the mark it is empty");
    assert_eq!(render("deals/{{$event.user_id!}}"), Err(PathFault::ValueMissing));
}

#[test]
fn literal_paths_are_checked_when_saved() {
    for good in [
        "a..b/.x",
        "a;v=1/b",
        "a%2Fb",
        "caf%C3%A9",
        "100%25",
        "deals/..a;b",
        "",
        "deals/{{deal.id}}",
        "a?b={{deal.id}}",
        "a%20b/c",
        "{{deal.a}}.{{deal.b}}",
        "x/",
    ] {
        path(good, Ending::Path).expect(good);
    }
    for (text, message) in [
        ("../x", "normal form"),
        ("a/./b", "normal form"),
        ("a b", "a%20b"),
        ("/x", "must not start with /"),
        ("x#y", "fragment"),
        ("100%", "%25"),
        ("a\\b", "normal form"),
        ("..%2fadmin", "lead out"),
        ("..%5Cadmin", "lead out"),
        ("a%2f..%2fadmin", "lead out"),
        ("..;/..;/admin", "lead out"),
        ("..;x=1/admin", "lead out"),
        ("%2e%2e;/x", "lead out"),
        ("%252e%252e/x", "lead out"),
        ("%25252e%25252e%25252fx", "lead out"),
        ("%2%65%2%65/x", "%25"),
        ("a%00b", "lead out"),
        ("a%2500b", "lead out"),
        ("a%2f.%2fb", "lead out"),
        ("%c0%ae%c0%ae/x", "lead out"),
        ("%e0%80%ae%e0%80%ae%e0%80%afx", "lead out"),
        ("{{person.id}}", "not known here"),
    ] {
        let found = path(text, Ending::Path).expect_err(text);
        assert!(found.contains(message), "{text}: {found}");
    }
}

#[test]
fn a_dot_segment_is_unsafe_however_it_is_made() {
    let endpoint = endpoint("https://h.example/a/");
    for unsafe_path in ["..", ".", "x/../y", "%2e%2E/x", ".%2e", "x/."] {
        assert_eq!(endpoint.join(unsafe_path), Err(UnsafePath), "{unsafe_path}");
    }
    let template = path("{{deal.v}}", Ending::Path).expect("compiles");
    let rendered = with_scope(&event(r#"{"v": ".."}"#, None), |scope| template.render(scope, &Rendering::default()))
        .expect("renders");
    assert_eq!(endpoint.join(&rendered), Err(UnsafePath));
    assert!(endpoint.join("a..b/.x").is_ok());
    for value in ["../../../admin", "..\\\\admin", "a/../b", "..;x", "%2e%2e%2fadmin", "x\\u0000y", "%252e%252e"] {
        let event = event(&format!(r#"{{"v": "{value}"}}"#), None);
        let rendered = with_scope(&event, |scope| template.render(scope, &Rendering::default())).expect("renders");
        assert_eq!(endpoint.join(&rendered), Err(UnsafePath), "{value}: {rendered}");
    }
    for value in ["AC/DC", "50% off; today", "1..2", "...", "a.b", "ü/ö"] {
        let event = event(&format!(r#"{{"v": "{value}"}}"#), None);
        let rendered = with_scope(&event, |scope| template.render(scope, &Rendering::default())).expect("renders");
        assert!(endpoint.join(&rendered).is_ok(), "{value}: {rendered}");
    }
    // In a query nothing climbs.
    assert!(self::endpoint("https://h.example/a?x=").join("..%2F..").is_ok());
}

proptest! {
    #[test]
    fn no_value_leads_away_from_the_endpoint(value in any::<String>(), which in 0usize..4) {
        let base = ["https://h.example/a/", "https://h.example/a?k=v&x=", "https://h.example/", "https://h.example:8443/q?"][which];
        let endpoint = endpoint(base);
        let endpoint_url = Url::parse(base).expect("a URL");
        let template = path("p{{deal.v}}/{{deal.v}}?q={{deal.v}}", endpoint.ending());
        let template = template.or_else(|_| path("{{deal.v}}", endpoint.ending())).expect("compiles");
        let event = event(&serde_json::json!({ "v": value }).to_string(), None);
        let Ok(rendered) = with_scope(&event, |scope| template.render(scope, &Rendering::default())) else { return Ok(()) };
        if let Ok(url) = endpoint.join(&rendered) {
            prop_assert_eq!(url.origin(), endpoint_url.origin());
            prop_assert!(url.as_str().starts_with(base));
            prop_assert_eq!(url.fragment(), None);
            if endpoint.ending() == Ending::Path {
                let segments = url.path_segments().expect("a path").count();
                let of_endpoint = endpoint_url.path_segments().expect("a path").count();
                prop_assert_eq!(segments, of_endpoint + 1, "a value adds no segment: {}", url);
            } else {
                prop_assert_eq!(url.path(), endpoint_url.path());
            }
        }
    }
}
