use tonic_types::{ErrorDetails, StatusExt};

use super::*;

#[test]
fn an_error_has_what_it_has_over_grpc() {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation("webhook.display_name", "is required");
    details.set_error_info("INVALID_ARGUMENT", "hookline", [("subject".to_owned(), "x".to_owned())]);
    let status = Status::with_error_details(Code::InvalidArgument, "no", details);
    let body = body(&status);
    assert_eq!((&body["code"], &body["message"]), (&"invalid_argument".into(), &"no".into()));
    let of = |kind: &str| {
        let details = body["details"].as_array().expect("a list");
        details.iter().find(|detail| detail["type"] == kind).expect(kind).clone()
    };
    let info = of("google.rpc.ErrorInfo");
    assert_eq!(info["debug"]["reason"], "INVALID_ARGUMENT");
    assert_eq!(of("google.rpc.BadRequest")["debug"]["fieldViolations"][0]["field"], "webhook.display_name");
    let value = STANDARD_NO_PAD.decode(info["value"].as_str().expect("text")).expect("base64");
    assert_eq!(tonic_types::pb::ErrorInfo::decode(&*value).expect("an info").domain, "hookline");
}

#[test]
fn trouble_that_passes_says_when_to_come_again() {
    let details = ErrorDetails::with_retry_info(Some(std::time::Duration::from_millis(2_500)));
    let response = of_status(&Status::with_error_details(Code::Unavailable, "later", details));
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "3");
    let stranger = of_status(&Status::unauthenticated("who"));
    assert_eq!(
        (stranger.status(), &stranger.headers()[header::WWW_AUTHENTICATE]),
        (StatusCode::UNAUTHORIZED, &HeaderValue::from_static("Bearer"))
    );
}
