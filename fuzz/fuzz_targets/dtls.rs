//! Runs [`fuzz::dtls`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::dtls(data));
