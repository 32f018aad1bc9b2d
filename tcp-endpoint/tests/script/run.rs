//! Runs a script against an endpoint, on virtual time.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use gcs::time::Time;
use gcs_tcp_endpoint::tcp::{Config, Event, Host, Id, Payload, Segment, Seq};

use super::notation::{Choices, Line, Pattern, Step, written};

/// Where the script's time begins.
const START: Time = Time::from_ms(1_000_000);
/// The window of the peer's segments that do not name one.
const WINDOW: u16 = 30_000;
/// Where the peer's stream begins, the first bytes of which are beyond the end of the numbers.
const PEER: Seq = Seq(u32::MAX - 2);
/// Lines of what has happened that a message shows.
const SHOWN: usize = 24;
const SERVICE: u16 = 80;
const CLIENT: u16 = 4000;

/// The two streams between the host and one port of the peer.
#[derive(Clone, Copy, Debug)]
struct Flow {
    local: SocketAddr,
    remote: SocketAddr,
    /// Where our stream begins; known from the first SYN of ours.
    ours: Seq,
    /// What our timestamps count from, and the last one.
    stamps: Option<(u32, u32)>,
    id: Option<Id>,
    written: u64,
    read: u64,
}

struct Run {
    host: Host,
    now: Time,
    flows: BTreeMap<u16, Flow>,
    flow: u16,
    left: VecDeque<(Time, u16, Pattern)>,
    events: VecDeque<(Time, u16, String)>,
    /// Everything that has happened, in the notation of scripts.
    record: Vec<(Time, String)>,
}

fn local() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

fn remote(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([198, 51, 100, 7]), port)
}

/// The byte at `position` of either stream.
fn byte(position: u64) -> u8 {
    u8::try_from(position % 251).expect("below 251")
}

fn bytes(from: u64, len: usize) -> Bytes {
    (from..from + len as u64).map(byte).collect()
}

/// Runs the lines; what went otherwise.
pub(crate) fn run(config: &Config, lines: &[Line]) -> Result<(), String> {
    let mut run = Run {
        host: Host::new(config.clone(), [7; 32]),
        now: START,
        flows: BTreeMap::new(),
        flow: CLIENT,
        left: VecDeque::new(),
        events: VecDeque::new(),
        record: Vec::new(),
    };
    for line in lines {
        let done = run.line(line);
        done.map_err(|e| {
            format!("{}: {e}\n  {}\nwhat has happened:\n{}", line.place, line.text, run.transcript())
        })?;
    }
    let nothing = run.nothing_left().and_then(|()| run.no_event_left());
    nothing.map_err(|e| format!("at the end: {e}\nwhat has happened:\n{}", run.transcript()))
}

impl Run {
    fn line(&mut self, line: &Line) -> Result<(), String> {
        let until = self.now + line.after;
        if !matches!(line.step, Step::Leaves(_)) && line.after > Duration::ZERO {
            self.nothing_left()?;
        }
        self.pass(until)?;
        match &line.step {
            Step::Leaves(pattern) => return self.leaves(pattern),
            Step::Event(name) => return self.happens(name),
            Step::State(name) => return self.is_in(name),
            Step::Number(what, number) => return self.counts(what, *number),
            Step::Flow(port) => self.flow = *port,
            Step::Silence => {}
            input => {
                self.nothing_left()?;
                self.record
                    .push((self.now, line.text.split_once(' ').map_or("", |(_, t)| t.trim()).to_owned()));
                return self.batch(Some(input));
            }
        }
        self.nothing_left()
    }

    /// Lets time pass, and timers fire.
    fn pass(&mut self, until: Time) -> Result<(), String> {
        while let Some(at) = self.host.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.batch(None)?;
        }
        self.now = until;
        Ok(())
    }

    fn batch(&mut self, input: Option<&Step>) -> Result<(), String> {
        self.host.begin(self.now);
        let done = input.map_or(Ok(()), |input| self.input(input));
        while let Some(event) = self.host.event() {
            self.event(event);
        }
        let mut out = Vec::new();
        self.host.finish(&mut out);
        for segment in out {
            let (port, pattern) = self.relative(&segment)?;
            self.record.push((self.now, format!("> {pattern}")));
            self.left.push_back((self.now, port, pattern));
        }
        done
    }

    fn current(&mut self) -> &mut Flow {
        let flow = Flow {
            local: SocketAddr::new(local(), SERVICE),
            remote: remote(self.flow),
            ours: Seq(0),
            stamps: None,
            id: None,
            written: 0,
            read: 0,
        };
        self.flows.entry(self.flow).or_insert(flow)
    }

    fn input(&mut self, input: &Step) -> Result<(), String> {
        if let Step::Arrives(pattern) = input {
            let segment = self.absolute(pattern);
            self.host.segment(&segment);
            return Ok(());
        }
        let listener = SocketAddr::new(local(), SERVICE);
        match input {
            Step::Listen => self.host.listen(listener),
            Step::Unlisten => self.host.unlisten(listener),
            Step::Connect => return self.connect(),
            Step::Kick => self.host.kick(),
            _ => {
                let id = self.current().id.ok_or("there is no connection")?;
                return self.call(id, input);
            }
        }
        Ok(())
    }

    fn call(&mut self, id: Id, call: &Step) -> Result<(), String> {
        match *call {
            Step::Write(len) => {
                let mut bytes = bytes(self.current().written, len);
                self.host.write(id, &mut bytes);
                self.current().written += (len - bytes.len()) as u64;
            }
            Step::Read(len) => self.read(id, len)?,
            Step::Shutdown => self.host.shutdown(id),
            Step::Close => self.host.close(id),
            Step::Abort => self.host.abort(id),
            Step::Mtu(at, mtu) => {
                let flow = *self.current();
                self.host.path_mtu(flow.local, flow.remote, flow.ours.of(at.into()), mtu);
            }
            _ => unreachable!("no call of the application"),
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), String> {
        self.flow = SERVICE;
        let id = self.host.connect(local(), remote(SERVICE)).map_err(|e| e.to_string())?;
        let (_, local, _) = self.host.look(id).expect("just opened");
        self.flows.remove(&SERVICE);
        let flow = self.current();
        (flow.local, flow.id) = (local, Some(id));
        Ok(())
    }

    fn read(&mut self, id: Id, len: usize) -> Result<(), String> {
        let (from, came) = (self.current().read, self.host.read(id, len.max(1) as u64).concat());
        if came != bytes(from, came.len()) {
            return Err(format!("the {} bytes at {from} are not what the peer sent", came.len()));
        }
        self.current().read += came.len() as u64;
        let read = came.len();
        if read == len { Ok(()) } else { Err(format!("expected {len} bytes, read {read}")) }
    }

    fn event(&mut self, event: Event) {
        let (id, name) = match event {
            Event::Accepted(id) => (id, "accepted".to_owned()),
            Event::Connected(id) => (id, "connected".to_owned()),
            Event::Readable(id) => (id, "readable".to_owned()),
            Event::Writable(id) => (id, "writable".to_owned()),
            Event::Finished(id) => (id, "finished".to_owned()),
            Event::Gone(id, reason) => (id, format!("gone {reason:?}")),
        };
        let known = self.flows.iter().find(|(_, f)| f.id == Some(id)).map(|(port, _)| *port);
        let port =
            known.or_else(|| self.host.look(id).map(|(_, _, remote)| remote.port())).unwrap_or_default();
        if let Some(flow) = self.flows.get_mut(&port).filter(|_| matches!(event, Event::Accepted(_))) {
            (flow.id, flow.written, flow.read) = (Some(id), 0, 0);
        }
        self.record.push((self.now, name.clone()));
        self.events.push_back((self.now, port, name));
    }

    /// The segment that a line means.
    fn absolute(&mut self, pattern: &Pattern) -> Segment {
        let flow = *self.current();
        let seq = PEER.of(pattern.start.into());
        let mut segment =
            Segment::new(flow.remote, flow.local, seq, pattern.ack.map(|ack| flow.ours.of(ack.into())));
        segment.syn = pattern.flags.contains('S');
        segment.fin = pattern.flags.contains('F');
        segment.rst = pattern.flags.contains('R');
        segment.psh = pattern.flags.contains('P');
        segment.window = pattern.window.unwrap_or(WINDOW);
        let chosen = pattern.options.clone().unwrap_or_default();
        segment.options.mss = chosen.mss;
        segment.options.window_scale = chosen.window_scale;
        segment.options.sack_permitted = chosen.sack_permitted;
        let (base, last) = flow.stamps.unwrap_or_default();
        let echo = |ecr: Option<u32>| ecr.map_or(last, |ecr| base.wrapping_add(ecr));
        segment.options.timestamps = chosen.stamps.map(|(val, ecr)| (val.unwrap_or_default(), echo(ecr)));
        segment.options.sack =
            chosen.sack.iter().map(|&(l, r)| (flow.ours.of(l.into()), flow.ours.of(r.into()))).collect();
        if pattern.len > 0 {
            segment.payload =
                Payload::from_iter([bytes(u64::from(pattern.start.saturating_sub(1)), pattern.len)]);
        }
        segment
    }

    /// A segment of ours as a line would say it.
    fn relative(&mut self, segment: &Segment) -> Result<(u16, Pattern), String> {
        let port = segment.to.port();
        let before = std::mem::replace(&mut self.flow, port);
        let ms = u32::try_from(self.now.since(START).as_millis()).unwrap_or(u32::MAX);
        let flow = self.current();
        if segment.syn {
            flow.ours = segment.seq;
        }
        if let Some((val, _)) = segment.options.timestamps {
            flow.stamps = Some((flow.stamps.map_or(val.wrapping_sub(ms), |(base, _)| base), val));
        }
        let flow = *flow;
        self.flow = before;
        let (theirs, ours) = (|n: Seq| n.0.wrapping_sub(PEER.0), |n: Seq| n.0.wrapping_sub(flow.ours.0));
        let options = &segment.options;
        let base = flow.stamps.unwrap_or_default().0;
        let chosen = Choices {
            mss: options.mss,
            sack_permitted: options.sack_permitted,
            stamps: options.timestamps.map(|(val, ecr)| (Some(val.wrapping_sub(base)), Some(ecr))),
            window_scale: options.window_scale,
            sack: options.sack.iter().map(|&(l, r)| (theirs(l), theirs(r))).collect(),
        };
        let flags = [(segment.syn, "S"), (segment.fin, "F"), (segment.rst, "R"), (segment.psh, "P")];
        let pattern = Pattern {
            flags: flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect(),
            start: ours(segment.seq),
            len: segment.payload_len(),
            ack: segment.ack.map(theirs),
            window: Some(segment.window),
            options: Some(chosen),
        };
        if segment.payload.concat() != bytes(u64::from(pattern.start.saturating_sub(1)), pattern.len) {
            return Err(format!("these are not the bytes that were written:\n  {pattern}"));
        }
        Ok((port, pattern))
    }

    fn leaves(&mut self, expected: &Pattern) -> Result<(), String> {
        let Some((at, port, pattern)) = self.left.pop_front() else {
            return Err(format!(
                "missing\n  expected {}  > {expected}\n  but nothing left",
                self.clock(self.now)
            ));
        };
        if at == self.now && port == self.flow && expected.fits(&pattern) {
            return Ok(());
        }
        let other = if port == self.flow { String::new() } else { format!(", to port {port}") };
        Err(format!(
            "otherwise\n  expected {}  > {expected}\n  left     {}  > {pattern}{other}",
            self.clock(self.now),
            self.clock(at),
        ))
    }

    fn nothing_left(&self) -> Result<(), String> {
        let Some((at, _, pattern)) = self.left.front() else { return Ok(()) };
        Err(format!("unexpected\n  left     {}  > {pattern}", self.clock(*at)))
    }

    /// The next event, of those that a script has to mention, is this one. What can be read or written need not be mentioned.
    fn happens(&mut self, name: &str) -> Result<(), String> {
        let optional = |e: &str| e == "readable" || e == "writable";
        let now = self.now;
        while self.events.front().is_some_and(|(at, _, e)| (e != name || *at < now) && optional(e)) {
            self.events.pop_front();
        }
        let event = self.events.pop_front();
        if event.as_ref().is_some_and(|(at, port, e)| (*at, *port, e.as_str()) == (self.now, self.flow, name))
        {
            return Ok(());
        }
        let was = event.map_or("nothing".to_owned(), |(at, port, e)| {
            format!("{e} at {} of port {port}", self.clock(at))
        });
        Err(format!("expected {name} at {}, there was {was}", self.clock(self.now)))
    }

    fn no_event_left(&self) -> Result<(), String> {
        match self.events.iter().find(|(_, _, e)| e != "readable" && e != "writable") {
            Some((at, port, event)) => {
                Err(format!("unexpected {event} at {} of port {port}", self.clock(*at)))
            }
            None => Ok(()),
        }
    }

    fn is_in(&mut self, name: &str) -> Result<(), String> {
        let id = self.current().id;
        let state = id
            .and_then(|id| self.host.look(id))
            .map_or("None".to_owned(), |(state, ..)| format!("{state:?}"));
        if state == name { Ok(()) } else { Err(format!("expected the state {name}, it is {state}")) }
    }

    fn counts(&self, what: &str, expected: u64) -> Result<(), String> {
        let is = match what {
            "held" => self.host.held(),
            "connections" => self.host.connections() as u64,
            _ => self.host.remembered() as u64,
        };
        if is == expected { Ok(()) } else { Err(format!("expected {what} {expected}, it is {is}")) }
    }

    fn clock(&self, at: Time) -> String {
        written(at.since(START))
    }

    fn transcript(&self) -> String {
        let mut text = String::new();
        let skipped = self.record.len().saturating_sub(SHOWN);
        let mut before = if skipped > 0 { self.record[skipped].0 } else { START };
        for (at, what) in &self.record[skipped..] {
            writeln!(text, "+{} {what}", written(at.since(before))).expect("a string");
            before = *at;
        }
        text
    }
}
