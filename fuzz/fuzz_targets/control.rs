//! Control messages from arbitrary bytes: what decodes, encodes to something that decodes to the same.
#![no_main]

use bytes::Bytes;
use gcs::wire::{Body, Control};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut datagram = vec![gcs::frame::MAGIC_CONTROL, gcs::frame::WIRE_VERSION];
    datagram.extend_from_slice(data);
    let Ok(control) = Control::decode_datagram(Bytes::from(datagram)) else { return };
    assert_eq!(Control::decode_datagram(control.encode_datagram()).as_ref(), Ok(&control));
    if let Some(Body::Decide(decide)) = control.body {
        let _ = decide.value.map(|v| (v.members().is_ok(), v.cut()));
    }
});
