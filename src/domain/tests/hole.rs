use super::*;

#[test]
fn a_placeholder_ends_behind_its_keys() {
    for (text, is_escaped, end) in [
        ("deal.a}} b}}", false, Some(6)),
        ("deal[\"}}\"]}}", false, Some(10)),
        ("deal['}}']}}", false, Some(10)),
        ("deal[\\\"}}\\\"]}}", true, Some(12)),
        ("deal[\\\"a\\\\\\\"}}\\\"]}}", true, Some(17)),
        ("deal[\"a\\\"}}\"]}}", false, Some(13)),
        ("deal.a\"}}", true, None),
        ("deal.a\n}}", false, None),
        ("deal[\"a}}", false, None),
        ("deal.a | append: '}}'}}", false, Some(21)),
        ("deal.a | append: \"}}\"}}", false, Some(21)),
        ("deal.a | append: \\\"}}\\\"}}", true, Some(23)),
        ("deal.é}}", false, Some(7)),
    ] {
        assert_eq!(closing_braces(text, is_escaped), end, "{text}");
    }
}
