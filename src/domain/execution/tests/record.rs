use opentelemetry::trace::SpanId;
use uuid::Uuid;

use super::*;
use crate::domain::trace_context::TraceContext;

#[test]
fn the_stored_form_stays_readable_and_keeps_every_digit() {
    let record = Record {
        source_name: "Won \"deals\"".into(),
        source_id: "au-1".parse().expect("an id"),
        causation_depth: 0,
        trace: TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "").expect("a context"),
        parent_span: SpanId::from_hex("00f067aa0ba902b7").ok(),
        requests: vec![Request {
            webhook: WebhookUid(Uuid::from_u128(1)),
            webhook_id: "wh-1".parse().expect("an id"),
            method: Method::Post,
            endpoint: "https://h.example/?key=***".into(),
            path: "a=1".into(),
            body: r#"{"n": 1e400, "m": 123456789012345678901234567890}"#.to_owned().into(),
            attempt_at: None,
            headers: Vec::new(),
            continue_on_failure: false,
            failure: Some(Reason::UnsafePath),
            action: None,
            warnings: Vec::new(),
            is_left_out: false,
            may_be_done: false,
        }],
        explanation: Vec::new(),
        basis: Basis::Decision,
    };
    let golden = r#"{"v":1,"name":"Won \"deals\"","id":"au-1","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","parent_span":"00f067aa0ba902b7","requests":[{"webhook":"00000000-0000-0000-0000-000000000001","id":"wh-1","method":"POST","endpoint":"https://h.example/?key=***","path":"a=1","body":{"n": 1e400, "m": 123456789012345678901234567890},"failure":"UNSAFE_PATH"}]}"#;
    let stored = record.to_stored().expect("serializes");
    assert_eq!(String::from_utf8_lossy(&stored), golden);
    assert_eq!(Record::from_stored(golden.as_bytes(), None).expect("reads"), record);
    let mut null = record.clone();
    null.requests[0].body = "null".to_owned().into();
    let stored = null.to_stored().expect("serializes");
    assert_eq!(Record::from_stored(&stored, None).expect("reads"), null, "null is a body");
    let mut shared = record.clone();
    let beginning: Arc<str> = r#"{"data":{"n": 1.50},"meta":{"#.into();
    shared.requests[0].body = RequestBody::shared(&beginning, r#""attempt":1}}"#.into());
    let stored = shared.to_stored().expect("serializes");
    assert!(!String::from_utf8_lossy(&stored).contains("1.50"), "the event is not stored again");
    assert_eq!(Record::from_stored(&stored, Some(&beginning)).expect("reads"), shared);
    assert!(Record::from_stored(&stored, None).is_err(), "never another body");
    let before = r#"{"webhook":"00000000-0000-0000-0000-000000000001","id":"wh-1","method":"POST","endpoint":"e","body":{"meta":{"attempt":1}},"attempt_at":19}"#;
    let stored = golden.replace(&golden[golden.find(r#"{"webhook""#).expect("a request")..golden.len() - 2], before);
    let request =
        &Record::from_stored(stored.as_bytes(), Some(&beginning)).expect("reads what was stored whole").requests[0];
    assert_eq!(request.body_of(3), r#"{"meta":{"attempt":3}}"#);
    let caused = Record { causation_depth: 3, ..record.clone() }.to_stored().expect("serializes");
    assert_eq!(Record::depth_of_stored(&caused).ok(), Some(3));
    assert_eq!(Record::depth_of_stored(golden.as_bytes()).ok(), Some(0));
    let mut retried = Record { basis: Basis::Retry, ..record.clone() };
    let request = &mut retried.requests[0];
    (request.is_left_out, request.may_be_done, request.body) = (true, true, RequestBody::none());
    request.action = Some("at-1".parse().expect("an id"));
    let stored = retried.to_stored().expect("serializes");
    let end = r#","failure":"UNSAFE_PATH","action":"at-1","left_out":true,"may_be_done":true,"no_body":true}],"basis":"retry"}"#;
    assert!(String::from_utf8_lossy(&stored).ends_with(end), "{}", String::from_utf8_lossy(&stored));
    assert_eq!(Record::from_stored(&stored, None).expect("reads"), retried);
    let trace = TraceContext::parse(&record.trace.traceparent(), "vendor=1,other=2").expect("a context");
    let traced = Record { trace, ..record.clone() };
    let stored = traced.to_stored().expect("serializes");
    assert!(String::from_utf8_lossy(&stored).contains(r#""tracestate":"vendor=1,other=2","parent_span""#));
    assert_eq!(Record::from_stored(&stored, None).expect("reads"), traced, "tracestate is kept");
    let before = golden.replace(r#""UNSAFE_PATH"}]}"#, r#""UNSAFE_PATH"}],"first":1}"#);
    let read = Record::from_stored(before.as_bytes(), None).expect("reads what was stored before");
    assert!(read.requests[0].is_left_out && read.first_action() == 1);
}
