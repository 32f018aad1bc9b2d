//! What agents of gcs-monitor say to each other: messages of zones, of events among them, from arbitrary bytes.
#![no_main]

use gcs_monitor::zones::message::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::decode(data) else { return };
    let _ = message.bytes();
    let bytes = message.encode();
    let again = Message::decode(&bytes).expect("what was written can be read");
    assert_eq!(again.encode(), bytes);
});
