//! Runs [`fuzz::amf0`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::amf0(data));
