use super::*;

#[test]
fn only_public_addresses_are_permitted() {
    let policy = AddressPolicy::default();
    for blocked in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.19.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::1.2.3.4",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "3fff::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(!policy.permits(blocked.parse().expect("an address")), "{blocked}");
    }
    for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
        assert!(policy.permits(public.parse().expect("an address")), "{public}");
    }
    let opened = AddressPolicy { allowed: vec!["127.0.0.0/8".parse().expect("a block")] };
    assert!(opened.permits("127.0.0.1".parse().expect("an address")));
    assert!(opened.permits("::ffff:127.0.0.1".parse().expect("an address")));
    assert!(!opened.permits("10.0.0.1".parse().expect("an address")));
}
