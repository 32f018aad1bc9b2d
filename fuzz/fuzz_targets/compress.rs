//! Compressed payloads from arbitrary bytes; and what is compressed, is restored.
#![no_main]

use bytes::Bytes;
use gcs::{
    frame::{FIXED_HEADER, Frame},
    guard::Secret,
    id::{GroupTag, Incarnation, MemberId},
    layer::{Context, Down, Layer, LayerSpec, Protocol, Scope, Up, Wants, Watch},
    message::Outgoing,
    properties::Properties,
    stack::{Blueprint, Output, REQUIRED, Stack},
    time::Time,
    view::{Member, View, ViewId},
};
use gcs_stacks::{Compress, compress::Algorithm};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const MTU: usize = 3000;

/// Below: says that it gives everything. Above: makes a frame of what is cast.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Bottom,
    Top,
}

impl Protocol for End {
    fn spec(&self) -> LayerSpec {
        let (name, gives) = match self {
            Self::Bottom => ("bottom", REQUIRED | Properties::RELIABLE),
            Self::Top => ("top", Properties::NONE),
        };
        LayerSpec { name, version: 1, needs: Properties::NONE, gives, wants: Wants::ALL }
    }

    fn build(&self, _: &Scope) -> Box<dyn Layer> {
        Box::new(*self)
    }
}

impl Layer for End {
    fn down(&mut self, event: Down, cx: &mut Context<'_>) {
        cx.down(match event {
            Down::Cast(payload) => Down::Frames(vec![cx.data_frame_of(payload.into_bytes().freeze())]),
            other => other,
        });
    }
}

fn stack(algorithm: Algorithm) -> Option<Stack> {
    let layers: Vec<Arc<dyn Protocol>> =
        vec![Arc::new(End::Bottom), Arc::new(Compress { algorithm }), Arc::new(End::Top)];
    let member = |i: u16| {
        let addr = ([127, 0, 0, 1], 1 + i).into();
        Member::new(MemberId { addr, incarnation: Incarnation(1) }, format!("m{i}"))
    };
    Some(Blueprint::new("fuzz", layers).ok()?.build(Scope {
        view: View { id: ViewId { epoch: 1, number: 1 }, members: (0..2).map(member).collect() },
        me: 0,
        group: GroupTag(0),
        now: Time::ZERO,
        mtu: MTU,
        window_bytes: 1 << 20,
        window_max: 1 << 20,
        watch: Watch::default(),
        arrangement: 0,
        partitionable: false,
        version: gcs::frame::WIRE_VERSION,
        secret: Some(Secret([7; 32])),
        signer: None,
        seed: 1,
    }))
}

/// The payload that comes out of the top when the datagram is received.
fn receive(stack: &mut Stack, datagram: Bytes) -> Option<Bytes> {
    let mut out = Output::default();
    let frame = stack.parse(datagram).ok()?;
    stack.receive(Time::ZERO, vec![frame], &mut out);
    match out.events.pop() {
        Some(Up::Frames(mut frames)) => frames.pop().map(|mut f| f.payload_shared()),
        _ => None,
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((how, payload)) = data.split_first() else { return };
    let algorithm = if how & 1 == 0 { Algorithm::Lz4 } else { Algorithm::Zstd { level: 1 } };
    let Some(mut stack) = stack(algorithm) else { return };
    let view = ViewId { epoch: 1, number: 1 };
    let mut frame = Frame::new(Frame::DATA, true, 1, GroupTag(0), view, FIXED_HEADER + 1, payload.len());
    frame.slot_mut(&(FIXED_HEADER..FIXED_HEADER + 1))[0] = how >> 1 & 3;
    frame.writable().extend_from_slice(payload);
    if let Some(restored) = receive(&mut stack, frame.into_packet().into_bytes()) {
        assert!(restored.len() <= payload.len().max(64 << 10));
    }
    // Longer frames are not made.
    let mut cast = Outgoing::new();
    cast.push(&payload[..payload.len().min(MTU - FIXED_HEADER - 5)]);
    let expected = cast.clone().into_bytes();
    let mut out = Output::default();
    stack.down(Time::ZERO, Down::Cast(cast), &mut out);
    let sent = out.frames.pop().map(|f| f.into_packet().into_bytes()).and_then(|d| receive(&mut stack, d));
    assert_eq!(sent.as_deref(), Some(&expected[..]));
});
