use super::*;

#[test]
fn a_traceparent_survives_the_way_there_and_back() {
    let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(traceparent_of(&context_of(text).expect("a context")).as_deref(), Some(text));
    for malformed in ["", "00", "00-xyz-b7ad6b7169203331-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01"]
    {
        assert_eq!(context_of(malformed), None, "{malformed}");
    }
}
