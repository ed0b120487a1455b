use super::*;

#[test]
fn signatures_verify_with_the_standards_own_library() {
    let secrets = [SigningSecret::new([7; SECRET_BYTES]), SigningSecret::new([9; SECRET_BYTES])];
    let body = br#"{"a": 1}"#;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let now = i64::try_from(now).expect("fits");
    let header = signatures(&secrets, "rq-1-1", now, body);
    for secret in &secrets {
        let verifier = standardwebhooks::Webhook::new(secret.secret.expose_secret()).expect("a secret");
        let mut headers = http_headers("rq-1-1", now, &header);
        verifier.verify(body, &headers).expect("verifies");
        headers.insert("webhook-id", "rq-1-2".parse().expect("a value"));
        assert!(verifier.verify(body, &headers).is_err(), "another id does not verify");
    }
}

#[test]
fn replaced_secrets_sign_on_for_the_overlap() {
    let now = Timestamp(1_000_000_000);
    let first = SigningSecret::new([1; SECRET_BYTES]);
    let two = rotate(&[first], SigningSecret::new([2; SECRET_BYTES]), Overlap(60_000), now);
    let signed_at = |secrets: &[SigningSecret], ms: u64| {
        signatures(secrets, "rq-1-1", now.plus_ms(ms).seconds(), b"{}").split(' ').count()
    };
    assert_eq!((signed_at(&two, 0), signed_at(&two, 59_000), signed_at(&two, 60_000)), (2, 2, 1));
    let three = rotate(&two, SigningSecret::new([3; SECRET_BYTES]), Overlap(600_000), now.plus_ms(1_000));
    assert_eq!((signed_at(&three, 2_000), signed_at(&three, 60_000)), (3, 2), "an overlap is never made longer");
    let at_once = rotate(&three, SigningSecret::new([4; SECRET_BYTES]), Overlap(0), now.plus_ms(2_000));
    assert_eq!((at_once.len(), signed_at(&at_once, 2_000)), (1, 1), "without an overlap the others end at once");
    let many =
        (5..20).fold(at_once, |secrets, byte| rotate(&secrets, SigningSecret::new([byte; 32]), Overlap(1_000), now));
    assert_eq!(many.len(), SECRETS_MAX);
}

fn http_headers(id: &str, seconds: i64, signature: &str) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    headers.insert("webhook-id", id.parse().expect("a value"));
    headers.insert("webhook-timestamp", seconds.to_string().parse().expect("a value"));
    headers.insert("webhook-signature", signature.parse().expect("a value"));
    headers
}
