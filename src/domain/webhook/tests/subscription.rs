use super::*;

#[test]
fn subscriptions_are_read_and_fit_what_they_name() {
    let mut event = Event::sample("e");
    for (text, fits) in [
        ("*.*", true),
        ("change.*", true),
        ("*.deal", true),
        ("change.deal", true),
        ("create.deal", false),
        ("change.person", false),
        ("delete.*", false),
    ] {
        let subscription: Subscription = text.parse().expect(text);
        assert_eq!(subscription.to_string(), text);
        assert_eq!(subscription.fits(&event), fits, "{text}");
    }
    for bad in ["", "deal", "updated.deal", "change.", ".deal", "change.Deal", "change.deal.x", "**", "*"] {
        assert!(bad.parse::<Subscription>().is_err(), "{bad}");
    }
    let user: UserId = "7".parse().expect("an id");
    assert!(is_permitted(&event, Some(&user)), "an event that names nobody is for everybody");
    event.permitted_user_ids = Some(vec!["8".parse().expect("an id")]);
    assert!(!is_permitted(&event, Some(&user)) && !is_permitted(&event, None));
    event.permitted_user_ids = Some(vec![user.clone()]);
    assert!(is_permitted(&event, Some(&user)));
}
