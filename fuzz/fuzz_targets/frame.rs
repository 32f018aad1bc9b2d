//! Frames and packed messages from arbitrary bytes.
#![no_main]

use bytes::Bytes;
use gcs::{
    frame::{FixedHeader, Frame},
    id::GroupTag,
    message::Messages,
    view::ViewId,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(header) = FixedHeader::parse(data) {
        let view = ViewId { epoch: header.tag, number: header.view };
        if let Ok(mut frame) = Frame::parse(bytes.clone(), GroupTag(0), view, 40) {
            let _ = (frame.payload().len(), frame.payload_shared(), frame.kind());
        }
    }
    if let Some(messages) = Messages::packed(0, 0, bytes) {
        assert_eq!(messages.iter().count(), messages.count as usize);
    }
});
