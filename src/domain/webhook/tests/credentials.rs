use std::collections::BTreeMap;

use super::*;

#[test]
fn credentials_are_checked_and_become_headers() {
    let mut faults = Violations::default();
    Credentials::Basic { username: "a:b".into(), password: "p".into() }.check("credentials", &mut faults);
    Credentials::Bearer("a\nb".into()).check("credentials", &mut faults);
    let own = BTreeMap::from([("Host".to_owned(), SecretString::from("x"))]);
    Credentials::Headers(own).check("credentials", &mut faults);
    let text = faults.check().expect_err("three faults").to_string();
    for part in ["basic.username", "bearer.token", "[Host]: this header is set by the service"] {
        assert!(text.contains(part), "{text}");
    }
    for names in [
        &["Transfer_Encoding"][..],
        &["content_length"],
        &["Webhook_Id"],
        &["X-Key", "x-key"],
        &["x_key", "X-Key"],
        &["Keep_Alive"],
        &["forwarded"],
    ] {
        let headers = names.iter().map(|name| ((*name).to_owned(), SecretString::from("x"))).collect();
        let mut faults = Violations::default();
        Credentials::Headers(headers).check("credentials", &mut faults);
        assert_eq!(faults.is_empty(), names == ["forwarded"], "{names:?}");
    }
    let basic = Credentials::Basic { username: "a".into(), password: "b".into() };
    assert_eq!(basic.headers()[0].1.expose_secret(), "Basic YTpi");
    assert!(!format!("{basic:?}").contains("\"b\""), "a password is never shown");
}
