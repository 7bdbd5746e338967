//! Runs [`fuzz::webrtc`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::webrtc(data));
