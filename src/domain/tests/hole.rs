use super::*;

#[test]
fn a_placeholder_ends_behind_its_keys() {
    for (text, around, end) in [
        ("deal.a}} b}}", Around::Json, Some(6)),
        ("deal[\"}}\"]}}", Around::Json, Some(10)),
        ("deal['}}']}}", Around::Json, Some(10)),
        ("deal[\\\"}}\\\"]}}", Around::JsonString, Some(12)),
        ("deal[\\\"a\\\\\\\"}}\\\"]}}", Around::JsonString, Some(17)),
        ("deal[\"a\\\"}}\"]}}", Around::Json, Some(13)),
        ("deal.a\"}}", Around::JsonString, None),
        ("deal.a\n}}", Around::Json, None),
        ("deal[\"a}}", Around::Json, None),
        ("deal.a | append: '}}'}}", Around::Json, Some(21)),
        ("deal.a | append: \"}}\"}}", Around::Json, Some(21)),
        ("deal.a | append: \\\"}}\\\"}}", Around::JsonString, Some(23)),
        ("deal.a\n | append: '}}'}}", Around::Text, Some(22)),
        (r"deal.a | append: 'it\\'s }}'}}", Around::JsonString, Some(28)),
        (r"deal.a | append: 'it\'s }}'}}", Around::Json, Some(27)),
        (r"deal.a | append: 'it\\\\' }}", Around::JsonString, Some(26)),
        ("deal.é}}", Around::Json, Some(7)),
    ] {
        assert_eq!(closing_braces(text, around), end, "{text}");
    }
}
