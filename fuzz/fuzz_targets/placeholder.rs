#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hookline::fuzzing::run("placeholder", input));
