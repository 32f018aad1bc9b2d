//! Certificates from arbitrary bytes, and documents from arbitrary text.
#![no_main]

use gcs_monitor::trust::{Chain, Document};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(chain) = Chain::decode(data) {
        let _ = (chain.subject(), chain.about_bytes());
        let again = Chain::decode(&chain.encode()).expect("what was written can be read");
        assert_eq!(again.encode(), chain.encode());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(document) = Document::from_text(text) {
            let text = document.to_text().expect("what was read can be written");
            assert!(Document::from_text(&text).is_ok());
        }
    }
});
