use std::io::Write;

use flate2::{Compression as Level, write::GzEncoder};
use http::HeaderValue;
use tonic::Code;

use super::*;

fn headers(values: &[&str]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for value in values {
        map.append(header::CONTENT_TYPE, HeaderValue::from_str(value).expect("a value"));
    }
    map
}

#[test]
fn the_form_is_what_the_header_says() {
    let of = |text: &str| Content::of(&headers(&[text]));
    let json = Some(Content { form: Form::Json, is_stream: false });
    assert_eq!(of("application/json"), json);
    assert_eq!(of("Application/JSON; charset=UTF-8"), json);
    assert_eq!(of("application/json; charset=\"utf-8\""), json);
    assert_eq!(of("application/json; charset=latin1"), None);
    assert_eq!(of("application/connect+json"), Some(Content { form: Form::Json, is_stream: true }));
    assert_eq!(of("application/proto"), Some(Content { form: Form::Proto, is_stream: false }));
    for text in ["", "text/plain", "application/grpc", "application/x-www-form-urlencoded", "application/jsonp"] {
        assert_eq!(of(text), None, "{text}");
    }
    assert_eq!(Content::of(&HeaderMap::new()), None);
    assert_eq!(Content::of(&headers(&["application/json", "text/plain"])), None, "given twice");
}

#[test]
fn what_inflates_too_far_is_refused() {
    let mut encoder = GzEncoder::new(Vec::new(), Level::best());
    encoder.write_all(&[b' '; 100_000]).expect("writes");
    let small: Bytes = encoder.finish().expect("ends").into();
    assert!(small.len() < 1_000);
    assert_eq!(Compression::Gzip.inflated(small.clone(), 100_000).expect("fits").len(), 100_000);
    assert_eq!(Compression::Gzip.inflated(small.clone(), 99_999).expect_err("too large").code(), Code::OutOfRange);
    assert_eq!(Compression::Gzip.inflated("{}".into(), 10).expect_err("no gzip").code(), Code::InvalidArgument);
    assert_eq!(Compression::Gzip.inflated(small.slice(..20), 10).expect_err("cut").code(), Code::InvalidArgument);
    assert_eq!(Compression::None.inflated(small.clone(), 1).expect("as it is"), small);
}
