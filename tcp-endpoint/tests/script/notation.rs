//! Lines of a script as values, and segments as text.

use std::{fmt, time::Duration};

use gcs_tcp_endpoint::tcp::{Config, KeepAlive};

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// File and number, for messages.
    pub(crate) place: String,
    pub(crate) text: String,
    /// How long after the line before.
    pub(crate) after: Duration,
    pub(crate) step: Step,
}

/// What a line says.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Arrives(Pattern),
    Leaves(Pattern),
    Flow(u16),
    Listen,
    Unlisten,
    Connect,
    Write(usize),
    Read(usize),
    Shutdown,
    Close,
    Abort,
    Kick,
    /// A router's word about the segment at a number: packets may be no longer.
    Mtu(u32, u16),
    Silence,
    /// An event, by its name and the reason that it has.
    Event(String),
    State(String),
    /// A number that the host tells: `held`, `connections`, `remembered`.
    Number(String, u64),
}

/// A segment with relative numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pattern {
    /// A subset of `SFRP`, in this order.
    pub(crate) flags: String,
    pub(crate) start: u32,
    pub(crate) len: usize,
    pub(crate) ack: Option<u32>,
    /// None: not looked at.
    pub(crate) window: Option<u16>,
    /// None: not looked at.
    pub(crate) options: Option<Choices>,
}

/// Options. In timestamps None is any value, or the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choices {
    pub(crate) mss: Option<u16>,
    pub(crate) sack_permitted: bool,
    pub(crate) stamps: Option<(Option<u32>, Option<u32>)>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: Vec<(u32, u32)>,
}

impl Pattern {
    /// Whether `other`, which says everything, is what this one asks for.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        let options = match (&self.options, &other.options) {
            (Some(mine), Some(theirs)) => mine.fits(theirs),
            _ => true,
        };
        let exact = |p: &Self| (p.flags.clone(), p.start, p.len, p.ack);
        exact(self) == exact(other) && self.window.is_none_or(|w| Some(w) == other.window) && options
    }
}

impl Choices {
    fn fits(&self, other: &Self) -> bool {
        let same = |a: Option<u32>, b: Option<u32>| a.is_none() || a == b;
        let stamps = match (self.stamps, other.stamps) {
            (Some(a), Some(b)) => same(a.0, b.0) && same(a.1, b.1),
            (a, b) => a == b,
        };
        let rest = |c: &Self| Self { stamps: None, ..c.clone() };
        stamps && rest(self) == rest(other)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.ack.is_some() { "." } else { "" };
        let end = self.start.wrapping_add(u32::try_from(self.len).unwrap_or(u32::MAX));
        write!(f, "{}{dot} {}:{end}({})", self.flags, self.start, self.len)?;
        self.ack.map_or(Ok(()), |ack| write!(f, " ack {ack}"))?;
        self.window.map_or(Ok(()), |window| write!(f, " win {window}"))?;
        match &self.options {
            None => write!(f, " <...>"),
            Some(options) if *options == Choices::default() => Ok(()),
            Some(options) => write!(f, " <{options}>"),
        }
    }
}

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.mss.map(|mss| format!("mss {mss}")));
        parts.extend(self.sack_permitted.then(|| "sackOK".to_owned()));
        let any = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
        parts.extend(self.stamps.map(|(val, ecr)| format!("ts val {} ecr {}", any(val), any(ecr))));
        parts.extend(self.window_scale.map(|shift| format!("wscale {shift}")));
        if !self.sack.is_empty() {
            let blocks: String = self.sack.iter().map(|(left, right)| format!(" {left}:{right}")).collect();
            parts.push(format!("sack{blocks}"));
        }
        f.write_str(&parts.join(","))
    }
}

/// A number, or what is wrong with it.
fn number<T: std::str::FromStr>(text: Option<&str>) -> Result<T, String> {
    let text = text.ok_or("a number is missing")?;
    text.parse().map_err(|_| format!("`{text}` is no number that fits"))
}

/// Seconds with up to nine decimals.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole = if whole.is_empty() { 0 } else { number(Some(whole))? };
    let nanos = if part.is_empty() { 0 } else { number(Some(&format!("{part:0<9}")))? };
    Ok(Duration::new(whole, nanos))
}

/// Seconds as they are written.
pub(crate) fn written(time: Duration) -> String {
    let nanos = format!("{:09}", time.subsec_nanos());
    let part = nanos.trim_end_matches('0');
    let whole =
        if time.as_secs() == 0 && !part.is_empty() { String::new() } else { time.as_secs().to_string() };
    if part.is_empty() { whole } else { format!("{whole}.{part}") }
}

fn choices(text: &str) -> Result<Choices, String> {
    let mut choices = Choices::default();
    for option in text.split(',') {
        let mut words = option.split_whitespace();
        match words.next().unwrap_or_default() {
            "nop" | "" => {}
            "mss" => choices.mss = Some(number(words.next())?),
            "wscale" => choices.window_scale = Some(number(words.next())?),
            "sackOK" => choices.sack_permitted = true,
            "ts" => {
                let words: Vec<_> = words.collect();
                let value = |at: usize| match words.get(at) {
                    Some(&"*") => Ok(None),
                    other => number(other.copied()).map(Some),
                };
                choices.stamps = Some((value(1)?, value(3)?));
            }
            "sack" => {
                for block in words {
                    let (left, right) = block.split_once(':').ok_or("a block is LEFT:RIGHT")?;
                    choices.sack.push((number(Some(left))?, number(Some(right))?));
                }
            }
            other => return Err(format!("`{other}` is no option")),
        }
    }
    Ok(choices)
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let mut pattern = Pattern { options: Some(Choices::default()), ..Pattern::default() };
    let mut text = text;
    if let Some((before, options)) = text.split_once('<') {
        let options = options.trim_end().strip_suffix('>').ok_or("the options end with `>`")?;
        pattern.options = if options == "..." { None } else { Some(choices(options)?) };
        text = before;
    }
    let mut words = text.split_whitespace();
    let flags = words.next().unwrap_or_default();
    pattern.flags = ['S', 'F', 'R', 'P'].into_iter().filter(|f| flags.contains(*f)).collect();
    if flags.chars().any(|f| !"SFRP.".contains(f)) {
        return Err(format!("`{flags}` are no flags"));
    }
    let range = words.next().ok_or("START:END(LENGTH) is missing")?;
    let parts = range
        .split_once(':')
        .and_then(|(start, rest)| Some((start, rest.strip_suffix(')')?.split_once('(')?)));
    let (start, (end, len)) = parts.ok_or("numbers are START:END(LENGTH)")?;
    pattern.start = number(Some(start))?;
    pattern.len = number(Some(len))?;
    if number::<u32>(Some(end))?.wrapping_sub(pattern.start) as usize != pattern.len {
        return Err(format!("{range} has not that length"));
    }
    while let Some(word) = words.next() {
        match word {
            "ack" => pattern.ack = Some(number(words.next())?),
            "win" => pattern.window = Some(number(words.next())?),
            other => return Err(format!("`{other}` is not understood")),
        }
    }
    if pattern.ack.is_some() != flags.contains('.') {
        return Err("the flag `.` and `ack` belong together".to_owned());
    }
    Ok(pattern)
}

fn step(text: &str) -> Result<Step, String> {
    if let Some(rest) = text.strip_prefix('<') {
        return pattern(rest).map(Step::Arrives);
    }
    if let Some(rest) = text.strip_prefix('>') {
        return pattern(rest).map(Step::Leaves);
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let argument = |at: usize| words.get(at).copied();
    Ok(match words.first().copied().unwrap_or_default() {
        "listen" => Step::Listen,
        "unlisten" => Step::Unlisten,
        "connect" => Step::Connect,
        "write" => Step::Write(number(argument(1))?),
        "read" => Step::Read(number(argument(1))?),
        "shutdown" => Step::Shutdown,
        "close" => Step::Close,
        "abort" => Step::Abort,
        "kick" => Step::Kick,
        "mtu" => Step::Mtu(number(argument(1))?, number(argument(2))?),
        "silence" => Step::Silence,
        "accepted" | "connected" | "readable" | "writable" | "finished" | "gone" => {
            Step::Event(words.join(" "))
        }
        "state" => Step::State(argument(1).unwrap_or_default().to_owned()),
        "held" | "connections" | "remembered" => Step::Number(words[0].to_owned(), number(argument(1))?),
        other => return Err(format!("`{other}` is not understood")),
    })
}

fn setting(config: &mut Config, key: &str, value: &str) -> Result<(), String> {
    match key {
        "mtu" => config.mtu = number(Some(value))?,
        "super_segment_bytes" => config.super_segment_bytes = number(Some(value))?,
        "send_bytes" => config.send_bytes = number(Some(value))?,
        "receive_bytes" => config.receive_bytes = number(Some(value))?,
        "total_bytes" => config.total_bytes = number(Some(value))?,
        "nagle" => config.nagle = value == "on",
        "delayed_ack" => config.delayed_ack = seconds(value)?,
        "keep_alive" => {
            let parts: Vec<_> = value.split('/').collect();
            let [idle, interval, probes] = parts[..] else {
                return Err("keep_alive=IDLE/INTERVAL/PROBES".to_owned());
            };
            let (idle, interval) = (seconds(idle)?, seconds(interval)?);
            config.keep_alive = Some(KeepAlive { idle, interval, probes: number(Some(probes))? });
        }
        "give_up" => config.give_up = seconds(value)?,
        "give_up_opening" => config.give_up_opening = seconds(value)?,
        "linger" => config.linger = seconds(value)?,
        "connections" => config.connections = number(Some(value))?,
        "opening" => config.opening = number(Some(value))?,
        "remembered" => config.remembered = number(Some(value))?,
        other => return Err(format!("`{other}` is no setting")),
    }
    Ok(())
}

/// The settings and lines of the script `name`, in `text`; `open` reads a file of `scripts/opening/`.
pub(crate) fn parse(
    name: &str,
    text: &str,
    open: &dyn Fn(&str) -> Result<String, String>,
) -> Result<(Config, Vec<Line>), String> {
    // One segment is one packet, as it would be on the wire.
    let mut config = Config { super_segment_bytes: 0, ..Config::default() };
    let mut lines = Vec::new();
    add(&mut config, &mut lines, name, text, open)?;
    Ok((config, lines))
}

fn add(
    config: &mut Config,
    lines: &mut Vec<Line>,
    name: &str,
    text: &str,
    open: &dyn Fn(&str) -> Result<String, String>,
) -> Result<(), String> {
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        let place = format!("{name}:{}", i + 1);
        let wrong = |e: String| format!("{place}: {e}\n  {line}");
        let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (after, step) = match first {
            "" => continue,
            comment if comment.starts_with('#') => continue,
            "config" => {
                for word in rest.split_whitespace() {
                    let (key, value) = word.split_once('=').ok_or_else(|| wrong("KEY=VALUE".to_owned()))?;
                    setting(config, key, value).map_err(wrong)?;
                }
                continue;
            }
            "use" => {
                let text = open(rest).map_err(wrong)?;
                add(config, lines, &format!("opening/{rest}.txt"), &text, open)?;
                continue;
            }
            "flow" => (Duration::ZERO, number(Some(rest)).map(Step::Flow)),
            time => {
                let after = time.strip_prefix('+').ok_or("a time is `+SECONDS`".to_owned()).and_then(seconds);
                (after.map_err(wrong)?, step(rest.trim()))
            }
        };
        let step = step.map_err(wrong)?;
        lines.push(Line { text: line.to_owned(), after, step, place });
    }
    Ok(())
}
