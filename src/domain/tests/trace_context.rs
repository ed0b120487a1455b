use super::*;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn both_headers_survive_the_way_there_and_back() {
    for state in ["", "vendor=1", "a=1,b@c=opaque value", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"] {
        let context = TraceContext::parse(PARENT, state).expect(state);
        assert_eq!(context.traceparent(), PARENT);
        assert_eq!(context.tracestate().unwrap_or_default(), state);
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        let other = context.with_span(SpanId::from(7));
        assert_eq!(other.traceparent(), "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01");
        assert_eq!(other.tracestate().unwrap_or_default(), state, "it is the trace's, not the span's");
    }
}

#[test]
fn a_malformed_traceparent_is_none() {
    for malformed in [
        "",
        "00",
        "00-xyz-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-1",
    ] {
        assert_eq!(TraceContext::parse(malformed, "a=1"), None, "{malformed}");
    }
    let later = TraceContext::parse(&format!("cc{}-what-comes", &PARENT[2..]), "").expect("a later version");
    assert_eq!(later.traceparent(), PARENT, "is read as far as it is known");
}

#[test]
fn a_malformed_tracestate_is_left_out() {
    let long = format!("a={}", "x".repeat(TRACESTATE_BYTES_MAX));
    for malformed in ["no pair", "a=1\r\nx-injected: 1", "UPPER=1", long.as_str()] {
        let context = TraceContext::parse(PARENT, malformed).expect("a context");
        assert_eq!((context.traceparent().as_str(), context.tracestate()), (PARENT, None), "{malformed:?}");
    }
    assert_eq!(TraceContext::unreadable().traceparent(), "");
}
