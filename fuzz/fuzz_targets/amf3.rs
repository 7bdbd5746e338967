//! Runs [`fuzz::amf3`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::amf3(data));
