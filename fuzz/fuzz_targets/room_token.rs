//! Runs [`fuzz::room_token`] under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::room_token(data));
