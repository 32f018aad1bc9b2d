//! A member that is a client of Corosync's closed process groups (CPG), for comparison. The library is opened at run
//! time: nothing is needed to build this. Messages are multicast in agreed order.

#![expect(unsafe_code, reason = "calls of a C library")]

use super::{Job, Settings, Span, stamp};
use crate::report::{Figures, Line, Percentiles, histogram, print, wall_ns};
use anyhow::{Context as _, bail, ensure};
use hdrhistogram::Histogram;
use libloading::Library;
use std::{
    cell::RefCell,
    ffi::{c_int, c_uint, c_void},
    thread,
    time::Duration,
};

/// The library's name, of Corosync 2 and 3.
const LIBRARY: &str = "libcpg.so.4";

const OK: c_int = 1;
const TRY_AGAIN: c_int = 6;
/// What comes next, and wait for it; all that is there, and do not wait.
const ONE: c_int = 1;
const ALL: c_int = 2;
const AGREED: c_int = 2;
/// Messages that are cast before what has been delivered is looked at.
const BATCH: usize = 32;
/// One latency in so many messages is noted under load.
const STRIDE: u64 = 32;

#[repr(C)]
struct Name {
    length: u32,
    value: [u8; 128],
}

#[repr(C)]
struct Slice {
    base: *const c_void,
    len: usize,
}

type Deliver = extern "C" fn(u64, *const Name, u32, u32, *mut c_void, usize);
type Changed =
    extern "C" fn(u64, *const Name, *const c_void, usize, *const c_void, usize, *const c_void, usize);

#[repr(C)]
struct Callbacks {
    deliver: Deliver,
    changed: Changed,
}

/// What the callbacks have seen; they run in `dispatch`, on the thread that calls it.
struct Seen {
    members: usize,
    views: u64,
    delivered: u64,
    stride: u64,
    last: u64,
    longest: u64,
    latency: Histogram<u64>,
}

thread_local! {
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

fn seen<T>(f: impl FnOnce(&mut Seen) -> T) -> anyhow::Result<T> {
    SEEN.with_borrow_mut(|s| s.as_mut().map(f)).context("nothing is measured")
}

extern "C" fn deliver(_: u64, _: *const Name, _: u32, _: u32, message: *mut c_void, len: usize) {
    let now = wall_ns();
    let _ = seen(|s| {
        s.delivered += 1;
        if s.last != 0 {
            s.longest = s.longest.max(now.saturating_sub(s.last));
        }
        s.last = now;
        if len >= 8 && s.delivered.is_multiple_of(s.stride) {
            // SAFETY: the library hands over `len` readable bytes, valid until the callback returns.
            let sent = u64::from_le_bytes(unsafe { message.cast::<[u8; 8]>().read_unaligned() });
            s.latency.saturating_record(now.saturating_sub(sent).max(1));
        }
    });
}

extern "C" fn changed(
    _: u64,
    _: *const Name,
    _: *const c_void,
    members: usize,
    _: *const c_void,
    _: usize,
    _: *const c_void,
    _: usize,
) {
    let _ = seen(|s| (s.members, s.views) = (members, s.views + 1));
}

/// A connection to the daemon.
struct Cpg {
    library: Library,
    handle: u64,
}

macro_rules! call {
    ($library:expr, $name:literal, $type:ty, $($argument:expr),+) => {{
        // SAFETY: the type is the one of the function in <corosync/cpg.h>; what is pointed to outlives the call.
        let result: c_int = unsafe { $library.get::<$type>($name)?($($argument),+) };
        result
    }};
}

impl Cpg {
    /// Connects, as soon as the daemon answers, and joins.
    fn join(name: &str) -> anyhow::Result<Self> {
        // SAFETY: the library's initialisers have no preconditions.
        let library = unsafe { Library::new(LIBRARY) }.context("libcpg cannot be opened")?;
        let callbacks = Callbacks { deliver, changed };
        type Initialize = unsafe extern "C" fn(*mut u64, *const Callbacks) -> c_int;
        type Join = unsafe extern "C" fn(u64, *const Name) -> c_int;
        let mut group = Name { length: u32::try_from(name.len())?, value: [0; 128] };
        group.value[..name.len()].copy_from_slice(name.as_bytes());
        let mut handle = 0;
        let mut connected = false;
        for _ in 0..500 {
            connected =
                connected || call!(library, b"cpg_initialize\0", Initialize, &mut handle, &callbacks) == OK;
            if connected && call!(library, b"cpg_join\0", Join, handle, &group) == OK {
                return Ok(Self { library, handle });
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        bail!("the Corosync daemon does not answer")
    }

    fn dispatch(&self, how: c_int) -> anyhow::Result<()> {
        type Dispatch = unsafe extern "C" fn(u64, c_int) -> c_int;
        match call!(self.library, b"cpg_dispatch\0", Dispatch, self.handle, how) {
            OK | TRY_AGAIN => Ok(()),
            e => bail!("cpg_dispatch: error {e}"),
        }
    }

    /// Multicasts. False: there is no room now.
    fn cast(&self, message: &[u8]) -> anyhow::Result<bool> {
        type Cast = unsafe extern "C" fn(u64, c_int, *const Slice, c_uint) -> c_int;
        let slice = Slice { base: message.as_ptr().cast(), len: message.len() };
        match call!(self.library, b"cpg_mcast_joined\0", Cast, self.handle, AGREED, &slice, 1) {
            OK => Ok(true),
            TRY_AGAIN => Ok(false),
            e => bail!("cpg_mcast_joined: error {e}"),
        }
    }
}

/// Whether the library can be opened.
pub(crate) fn is_installed() -> bool {
    // SAFETY: the library's initialisers have no preconditions.
    unsafe { Library::new(LIBRARY) }.is_ok()
}

pub(super) fn run(settings: &Settings) -> anyhow::Result<()> {
    let stride = if settings.job == Job::PingPong { 1 } else { STRIDE };
    let latency = histogram()?;
    let new = Seen { members: 0, views: 0, delivered: 0, stride, last: 0, longest: 0, latency };
    SEEN.set(Some(new));
    let cpg = Cpg::join("gcs-perf")?;
    while seen(|s| s.members)? < settings.expect {
        cpg.dispatch(ONE)?;
    }
    seen(|s| s.views = 0)?;
    let mut span = Span::new(settings);
    let mut message = vec![0; settings.payload];
    let (mut answered, mut done) = (0, false);
    while !cast_one(&cpg, &mut message, settings.job == Job::PingPong)? {}
    // Goes on when it is over, so that the others can measure to their own end, until the parent ends this process.
    loop {
        let now = wall_ns();
        if span.begins(now) {
            seen(|s| (s.delivered, s.last, s.longest) = (0, 0, 0))?;
            seen(|s| s.latency.reset())?;
            answered = 0;
        }
        if !done && span.is_over(now) {
            done = true;
            print(&Line::Done(figures(&span)?));
        }
        match settings.job {
            Job::Flood => {
                let mut sent = 0;
                while sent < BATCH && cast_one(&cpg, &mut message, true)? {
                    sent += 1;
                }
                cpg.dispatch(if sent > 0 { ALL } else { ONE })?;
            }
            Job::PingPong => {
                cpg.dispatch(ONE)?;
                let delivered = seen(|s| s.delivered)?;
                if delivered > answered {
                    answered = delivered;
                    while !cast_one(&cpg, &mut message, true)? {}
                }
            }
            Job::Listen => cpg.dispatch(ONE)?,
            job => bail!("no such work with CPG: {job:?}"),
        }
    }
}

/// Casts a message that says when, if it is wanted. False: there is no room.
fn cast_one(cpg: &Cpg, message: &mut [u8], wanted: bool) -> anyhow::Result<bool> {
    stamp(message, wall_ns());
    Ok(!wanted || cpg.cast(message)?)
}

fn figures(span: &Span) -> anyhow::Result<Figures> {
    let figures = span.figures();
    ensure!(figures.seconds > 0.0, "no time has passed");
    seen(|s| Figures {
        delivered: s.delivered,
        latency_us: (!s.latency.is_empty()).then(|| Percentiles::of(&s.latency)),
        longest_gap_ms: s.longest as f64 / 1e6,
        views: s.views,
        ..figures
    })
}
