use super::*;

#[test]
fn an_origin_is_a_scheme_and_a_host() {
    for good in ["https://app.example", "http://localhost:3000", "https://app.example:8443"] {
        assert!(good.parse::<Origin>().is_ok(), "{good}");
    }
    for bad in ["", "*", "null", "app.example", "https://app.example/", "https://app.example/x", "ftp://app.example"] {
        assert!(bad.parse::<Origin>().is_err(), "{bad}");
    }
    assert!("https://APP.example".parse::<Origin>().is_err(), "as browsers write it");
    assert!("https://app.example:443".parse::<Origin>().is_err(), "the scheme's own port is not written");
}
