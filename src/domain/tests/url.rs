use super::*;

fn policy() -> UrlPolicy {
    UrlPolicy { allow_http: false, addresses: AddressPolicy::default() }
}

fn endpoint(text: &str) -> EndpointUrl {
    EndpointUrl::parse(text, &policy(), true).expect(text)
}

#[test]
fn each_violation_has_its_own_sentence() {
    for good in
        ["https://example.com/", "https://example.com/a/?b=1&c=", "https://example.com:8443/x&", "https://h.example/?"]
    {
        endpoint(good);
    }
    for (text, sentence) in [
        ("https://example.com/a", "must end with"),
        ("https://example.com/a", "end it with ? and leave the path empty"),
        ("https://example.com/a?b=1&sig=x", "Power Automate do), end it with &"),
        ("https://EXAMPLE.com/a?b=1&sig=x", "https://example.com/a?b=***&sig=***"),
        ("http://example.com/", "must be https; plain http"),
        ("ftp://example.com/", "must be https, not ftp"),
        ("https://a:b@example.com/", "user name or password"),
        ("https://example.com/#/", "fragment"),
        ("https://EXAMPLE.com/", "https://example.com/"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com/a/../b/", "https://example.com/b/"),
        ("https://example.com/%2e%2e/", "https://example.com/"),
        ("https://example.com/a b/", "https://example.com/a%20b/"),
        ("https://example.com\\a/", "https://example.com/a/"),
        ("https://127.0.0.1/", "127.0.0.1 is a private"),
        ("https://localhost/", "127.0.0.1 is a private"),
        ("https://[fd00::1]/", "fd00::1 is a private"),
        ("nonsense/", "is not a URL"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com/a/..%2f/", "another one"),
        ("https://example.com/..;/", "another one"),
    ] {
        let found = EndpointUrl::parse(text, &policy(), true).expect_err(text).join("; ");
        assert!(found.contains(sentence), "{text}: {found}");
    }
    for regular in ["https://example.com/hook", "https://example.com/a?b=1&sig=x", "https://example.com/a.php"] {
        let url = EndpointUrl::parse(regular, &policy(), false).expect(regular);
        assert_eq!(url.join("").expect("nothing is appended").as_str(), regular);
        assert!(url.check_takes_paths().is_err());
    }
    assert_eq!(EndpointUrl::parse("", &policy(), true).expect_err("empty").len(), 1);
    let two = EndpointUrl::parse("http://u@example.com/a", &policy(), true).expect_err("three faults");
    assert_eq!(two.len(), 3, "{two:?}");
    assert_eq!(endpoint("https://h.example/x?key=secret&id=").masked(), "https://h.example/x?key=***&id=");
    assert!(!format!("{:?}", endpoint("https://h.example/?key=secret&id=")).contains("secret"));
}
