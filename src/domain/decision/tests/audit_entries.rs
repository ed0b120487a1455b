use super::*;
use crate::domain::account::audit::Role;

#[test]
fn only_what_differs_is_a_change() {
    let fields = |name: &str, url: &str| vec![("display_name", name.to_owned()), ("endpoint_url", url.to_owned())];
    let change = |field: &str, before: &str, after: &str| FieldChange {
        field: field.into(),
        before: before.into(),
        after: after.into(),
    };
    assert_eq!(changed(&fields("a", "u"), &fields("b", "u")), [change("display_name", "a", "b")]);
    assert_eq!(changed(&Fields::new(), &fields("a", "")), [change("display_name", "", "a")]);
    assert_eq!(changed(&fields("a", "u"), &Fields::new()).len(), 2, "what is deleted was something");
    let long = "ä".repeat(VALUE_CHARS_MAX + 1);
    let longer = format!("{long}x");
    let told = changed(&fields(&long, "u"), &fields(&longer, "u"));
    assert!(told[0].after.ends_with("(differs further on)"), "a change is never hidden");
    assert_eq!(changed(&Fields::new(), &fields(&long, ""))[0].after.chars().count(), VALUE_CHARS_MAX + 1);
    let entry = AuditEntry {
        actor: Actor { role: Role::GlobalAdmin, user: Some("1".parse().expect("an id")) },
        verb: Verb::Updated,
        resource: "accounts/42".into(),
        changes: vec![change("plan", "ADVANCED", "")],
    };
    let golden = r#"{"actor":{"role":"global_admin","user":"1"},"verb":"updated","resource":"accounts/42","changes":[{"field":"plan","before":"ADVANCED"}]}"#;
    assert_eq!(serde_json::to_string(&entry).expect("serializes"), golden);
    assert_eq!(serde_json::from_str::<AuditEntry>(golden).expect("reads"), entry);
}
