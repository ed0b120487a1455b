use super::*;

#[test]
fn running_out_of_files_is_never_the_endpoints_fault() {
    let wrapped = |code| io::Error::other(io::Error::other(io::Error::from_raw_os_error(code)));
    for code in OUT_OF {
        assert!(is_fault_of_ours(&wrapped(code)), "{code}");
    }
    // Refused, reset, unreachable, timed out.
    for code in [111, 104, 113, 110] {
        assert!(!is_fault_of_ours(&wrapped(code)), "{code}");
    }
}
