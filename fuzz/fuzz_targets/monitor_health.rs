//! Component health: lines of clients and representatives, and datagrams of the Domain Name System.
#![no_main]

use gcs_monitor::health::{
    desk::{Desk, Next},
    dns::{UDP_MAX, Zone, answer},
    state::State,
    wire::{LINE_MAX, Request, Say},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (mut state, mut desk) = (State::new(), Desk::new());
    state.view_changed(1);
    let zone = Zone::new("example.org").expect("a zone");
    if let Some(reply) = answer(data, &zone, Some(&state), Some(UDP_MAX)) {
        assert!(reply.len() <= UDP_MAX);
    }
    for (now_ms, line) in (1..).zip(data.split(|byte| *byte == b'\n')) {
        let _ = serde_json::from_slice::<Say>(line);
        let Ok(request) = serde_json::from_slice::<Request>(line) else { continue };
        match desk.ask(&state, request) {
            Next::Cast(number, command) => {
                let outcome = state.apply(command, now_ms).map_err(Into::into);
                let _ = desk.done(number, outcome);
            }
            Next::Say(say) => assert!(serde_json::to_vec(&say).expect("it can be written").len() < LINE_MAX),
        }
        let _ = desk.news(&state, Some(state.history()), 64);
    }
});
