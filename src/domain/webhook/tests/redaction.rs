use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    attempt::retry_policy::RetryPolicy,
    id::WebhookUid,
    timestamp::Timestamp,
    url::{EndpointUrl, UrlPolicy},
    webhook::{signing::SigningSecret, webhook::WebhookKind},
};

fn webhook(url: &str, credentials: Credentials) -> Webhook {
    Webhook {
        uid: WebhookUid(Uuid::from_u128(1)),
        id: "wh-1".parse().expect("an id"),
        display_name: "a webhook".into(),
        kind: WebhookKind::Automation,
        endpoint: EndpointUrl::parse(url, &UrlPolicy::default(), true).expect("a URL"),
        credentials,
        secrets: vec![SigningSecret::new([7; 32])],
        retry: RetryPolicy::default(),
        success: Default::default(),
        requests_per_second: None,
        disabled: None,
        owner: None,
        subscription: None,
        revision: 1,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        deleted_at: None,
    }
}

fn redacted(webhook: &Webhook, text: &str) -> String {
    String::from_utf8(Redactor::of(webhook).text(text.as_bytes(), false)).expect("text")
}

#[test]
fn a_long_secret_is_replaced_wherever_and_however_it_stands() {
    let bearer = webhook("https://h.example/", Credentials::Bearer("s3cr&t/\"t oken+é".into()));
    for (echo, kept) in [
        ("got s3cr&t/\"t oken+é.", "got ***."),
        ("s3cr%26t%2F%22t%20oken%2B%C3%A9", "***"),
        ("s3cr%26t%2f%22t+oken%2b%c3%a9", "***"),
        ("s3cr%2526t%252F%2522t%2520oken%252B%25C3%25A9", "***"),
        (r#"{"token":"s3cr\u0026t\/\"t oken+\u00e9"}"#, r#"{"token":"***"}"#),
        (r#"{"body":"{\"token\":\"s3cr\\u0026t\\/\\\"t oken+é\"}"}"#, r#"{"body":"{\"token\":\"***\"}"}"#),
        (
            "<b>s3cr&amp;t/&quot;t oken+&eacute;</b> s3cr&#38;t&#x2f;&#34;t oken+&#xE9;",
            "<b>s3cr&amp;t/&quot;t oken+&eacute;</b> ***",
        ),
        ("s3cr&amp;t/&quot;t oken+&#233;", "***"),
        ("s3cr&t/\"t oke", "s3cr&t/\"t oke"),
    ] {
        assert_eq!(redacted(&bearer, echo), kept, "{echo}");
    }
    let encoded = BASE64.encode("Bearer s3cr&t/\"t oken+é and more");
    let kept = redacted(&bearer, &encoded);
    assert!(kept.contains("***") && kept.len() < 20, "{kept}");
}

#[test]
fn every_kind_of_secret_is_known() {
    let basic = |name: &str, password: &str| Credentials::Basic { username: name.into(), password: password.into() };
    let pair = webhook("https://h.example/", basic("a-user", "correct horse"));
    let header = format!("Basic realm=x, you sent Basic {}", BASE64.encode("a-user:correct horse"));
    assert_eq!(redacted(&pair, &header), "Basic realm=x, you sent ***");
    assert_eq!(redacted(&pair, &BASE64.encode("a-user:correct horse")), "***");
    assert_eq!(redacted(&pair, "a-user:correct horse, correct+horse"), "***, ***");
    let key_as_name = webhook("https://h.example/", basic("sk_live_12345678", "x"));
    assert_eq!(redacted(&key_as_name, "no such key sk_live_12345678"), "no such key ***");

    let headers = BTreeMap::from([
        ("authorization".to_owned(), format!("Basic {}", BASE64.encode("me:my password")).into()),
        ("x-api-key".to_owned(), "Key abcdef123456".into()),
    ]);
    let named = webhook("https://h.example/", Credentials::Headers(headers));
    assert_eq!(redacted(&named, "abcdef123456 / my password"), "*** / ***");

    let query = webhook("https://h.example/x?api_key=Sup3r%2FSecret%3D&sig=abc&token=12345678&", Credentials::None);
    for (echo, kept) in [
        ("https://h.example/y?api_key=Sup3r%2FSecret%3D&a=1", "https://h.example/y?api_key=***&a=1"),
        ("https://h.example/y?api_key=Sup3r/Secret=", "https://h.example/y?api_key=***"),
        ("api_key%3DSup3r%252FSecret%253D", "api_key%3D***"),
        ("12345678", "***"),
        (
            "abc is a word; ?sig=abc&x=abcd {\"sig\":\"abc\"} {\\\"sig\\\":\\\"abc\\\"} sig=abc",
            "abc is a word; ?sig=***&x=abcd {\"sig\":\"***\"} {\\\"sig\\\":\\\"***\\\"} sig=***",
        ),
    ] {
        assert_eq!(redacted(&query, echo), kept, "{echo}");
    }
    assert_eq!(Redactor::of(&query).header(b"abc"), b"***");
    assert_eq!(Redactor::of(&query).header(b"abcd"), b"abcd");
    let signing = query.secrets[0].secret.expose_secret().to_owned();
    assert_eq!(redacted(&query, &format!("{signing} {}", &signing[6..])), "*** ***");
}

#[test]
fn a_text_that_is_cut_ends_before_a_secret() {
    let bearer = webhook("https://h.example/", Credentials::Bearer("a-long-secret".into()));
    let redactor = Redactor::of(&bearer);
    for (text, kept) in
        [("you sent a-lo", "you sent ***"), ("you sent a-long%2", "you sent ***"), ("you sent a-", "you sent a-")]
    {
        assert_eq!(redactor.text(text.as_bytes(), true), kept.as_bytes(), "{text}");
        assert_eq!(redactor.text(text.as_bytes(), false), text.as_bytes(), "a whole text is as it is");
    }
}

/// The ways in which servers write what they were sent.
fn written(secret: &str, how: &[u8]) -> String {
    let mut text = String::new();
    for (at, letter) in secret.chars().enumerate() {
        let code = u32::from(letter);
        let mut buffer = [0; 4];
        let bytes = letter.encode_utf8(&mut buffer).as_bytes();
        match how[at % how.len()] % 6 {
            0 => bytes.iter().for_each(|byte| text.push_str(&format!("%{byte:02X}"))),
            1 => bytes.iter().for_each(|byte| text.push_str(&format!("%25{byte:02x}"))),
            2 if code < 0x1_0000 => text.push_str(&format!("\\u{code:04x}")),
            3 => text.push_str(&format!("&#{code};")),
            4 => text.push_str(&format!("&#x{code:X};")),
            _ => text.push(letter),
        }
    }
    text
}

/// An owner of an endpoint who wants it to take long gets stars.
#[test]
fn looking_ends() {
    let headers = (0..10).map(|at| (format!("h{at}"), "%".repeat(4_000 + at).into())).collect();
    let webhook = webhook("https://h.example/", Credentials::Headers(headers));
    let begun = std::time::Instant::now();
    let kept = Redactor::of(&webhook).text("%25".repeat(5_000).as_bytes(), true);
    assert!(kept.ends_with(b"***"));
    let words =
        (0..10).map(|at| (format!("h{at}"), format!("secret{at:02} ").repeat(450).trim().to_owned().into())).collect();
    let many = self::webhook("https://h.example/", Credentials::Headers(words));
    for text in ["~".repeat(300_000), "%".repeat(300_000), "s".repeat(16_000), "+".repeat(16_000)] {
        let redactor = Redactor::of(&many);
        let _ = (redactor.header(text.as_bytes()), redactor.text(&text.as_bytes()[..16_000], true));
    }
    // Without a bound this takes minutes; with it a fraction of a second, also unoptimised on a busy machine.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "it is bounded: {:?}", begun.elapsed());
}

proptest! {
    #[test]
    fn no_secret_is_left_whatever_surrounds_it(
        secret in "[ -~]{8,40}",
        before in "[a-z <>\"=]{0,20}",
        after in "[a-z <>\"&]{0,20}",
        how in proptest::collection::vec(any::<u8>(), 1..6),
    ) {
        prop_assume!(!secret.trim().is_empty());
        let bearer = webhook("https://h.example/", Credentials::Headers(BTreeMap::from([("x".to_owned(), secret.clone().into())])));
        let text = format!("{before}{}{after}", written(&secret, &how));
        let kept = redacted(&bearer, &text);
        prop_assert!(kept.contains("***"), "{text} → {kept}");
        let plain = redacted(&bearer, &format!("{before}{secret}{after}"));
        prop_assert!(!plain.contains(&secret), "{plain}");
    }

    #[test]
    fn any_bytes_can_be_gone_through(text in proptest::collection::vec(any::<u8>(), 0..200), is_cut in any::<bool>()) {
        let bearer = webhook("https://h.example/?a=b%20c&", Credentials::Bearer("%5c\\u0041&amp;+secret".into()));
        let _ = Redactor::of(&bearer).text(&text, is_cut);
    }
}
