//! Moving an address by a command: for clouds, where addresses are moved by calls of an API, and for routing daemons.
//!
//! The command is run as `COMMAND take|release VIP INTERFACE`, once for each address, one after the other; to take an
//! address that is here already has to succeed. The link is active meanwhile. What fails is reported, and not tried
//! again: the caller takes the addresses again if it still is the leader. Bounds: one process at a time; as many
//! waiting as there are addresses (a newer wish for an address replaces one that waits); [`OUTPUT`] bytes of output;
//! the time-out, after which the command and its children are killed.

use super::{
    address::{AddressError, AddressProvider, Outcome, Wish},
    sys,
};
use crate::link::{Link, Outputs, Vip};
use gcs::time::Time;
use std::{
    collections::VecDeque,
    io::{self, PipeReader, Read},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// How much of a command's output is kept.
const OUTPUT: usize = 4 << 10;
/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Runs a command to take or give up an address.
pub struct CommandHook {
    command: Vec<String>,
    interface: String,
    timeout: Duration,
    waiting: VecDeque<(Vip, Wish)>,
    running: Option<Running>,
    next: Time,
}

struct Running {
    vip: Vip,
    wish: Wish,
    child: Child,
    output: PipeReader,
    kept: Vec<u8>,
    until: Time,
}

impl CommandHook {
    /// Runs `command`, a program and its first arguments, with `interface` as the last one; it may take as long as
    /// `timeout`.
    #[must_use]
    pub fn new(command: &[&str], interface: &str, timeout: Duration) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Self {
            command,
            interface: interface.to_owned(),
            timeout,
            waiting: VecDeque::new(),
            running: None,
            next: Time::NEVER,
        }
    }

    fn want(&mut self, now: Time, link: &Link, wish: Wish) {
        for vip in &link.config().vips {
            self.waiting.retain(|(other, _)| other != vip);
            self.waiting.push_back((*vip, wish));
        }
        self.next = now;
    }

    fn start(&self, now: Time, vip: Vip, wish: Wish) -> io::Result<Running> {
        let (program, first) = self.command.split_first().ok_or(io::ErrorKind::NotFound)?;
        let (output, writer) = io::pipe()?;
        sys::set_nonblocking(output.as_fd())?;
        let word = match wish {
            Wish::Take => "take",
            Wish::Release => "release",
        };
        let child = Command::new(program)
            .args(first)
            .args([word, &vip.ip.to_string(), &self.interface])
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            // A group of its own, so that its children can be ended with it.
            .process_group(0)
            .spawn()?;
        Ok(Running { vip, wish, child, output, kept: Vec::new(), until: now + self.timeout })
    }

    /// Looks at the running command; true if none is running any more.
    fn look(&mut self, now: Time, outcomes: &mut Vec<Outcome>) -> bool {
        let Some(running) = &mut self.running else { return true };
        running.read();
        let status = running.child.try_wait();
        let result = match status {
            Ok(None) if now < running.until => return false,
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(self.failed(status)),
            Ok(None) | Err(_) => {
                running.end();
                Err(AddressError::TooLong { command: self.name(), seconds: self.timeout.as_secs() })
            }
        };
        if let Some(mut running) = self.running.take() {
            running.read();
            let output = String::from_utf8_lossy(&running.kept).trim_end().to_owned();
            outcomes.push(Outcome { vip: running.vip, wish: running.wish, result, output });
        }
        true
    }

    /// As it is named in errors.
    fn name(&self) -> String {
        self.command.first().cloned().unwrap_or_default()
    }

    fn failed(&self, status: ExitStatus) -> AddressError {
        AddressError::Failed { command: self.name(), status }
    }
}

impl Running {
    /// Keeps the beginning of what it says, and lets the rest go by, a bounded piece at a time.
    fn read(&mut self) {
        let mut buffer = [0; OUTPUT];
        for _ in 0..16 {
            match self.output.read(&mut buffer) {
                Ok(n) if n > 0 => {
                    let room = OUTPUT - self.kept.len();
                    self.kept.extend_from_slice(&buffer[..n.min(room)]);
                }
                _ => break,
            }
        }
    }

    fn end(&mut self) {
        sys::kill_group(self.child.id());
        // It has been killed: this does not take long.
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

impl AddressProvider for CommandHook {
    fn take(&mut self, now: Time, link: &mut Link, out: &mut Outputs) {
        link.set_active(now, true, out);
        self.want(now, link, Wish::Take);
    }

    fn release(&mut self, now: Time, link: &mut Link, out: &mut Outputs) {
        link.set_active(now, false, out);
        self.want(now, link, Wish::Release);
    }

    fn poll(&mut self, now: Time) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        self.next = now + LOOK;
        while self.look(now, &mut outcomes) {
            let Some((vip, wish)) = self.waiting.pop_front() else {
                self.next = Time::NEVER;
                break;
            };
            match self.start(now, vip, wish) {
                Ok(running) => {
                    self.running = Some(running);
                    break;
                }
                Err(source) => {
                    let result = Err(AddressError::Start { command: self.name(), source });
                    outcomes.push(Outcome { vip, wish, result, output: String::new() });
                }
            }
        }
        outcomes
    }

    fn next_timer(&self) -> Time {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Config, Mac, MacChoice};
    use std::{thread, time::Instant};

    const VIPS: [&str; 2] = ["192.0.2.10/24", "2001:db8::10/64"];

    fn hook(script: &str) -> (CommandHook, Link) {
        let vips = VIPS.iter().map(|v| v.parse().unwrap()).collect();
        let config = Config::ethernet(Mac([2, 0, 0, 0, 0, 1]), MacChoice::Own, vips);
        let hook = CommandHook::new(&["sh", "-c", script, "move"], "eth0", Duration::from_secs(60));
        (hook, Link::new(config).unwrap())
    }

    /// Waits for something, with a deadline.
    #[expect(clippy::disallowed_methods, reason = "processes take real time")]
    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < end, "not in time: {what}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What ends until nothing is under way any more: so many commands.
    fn outcomes(hook: &mut CommandHook, now: Time, count: usize) -> Vec<Outcome> {
        let mut all = Vec::new();
        until("the commands have ended", || {
            all.extend(hook.poll(now));
            hook.next_timer() == Time::NEVER
        });
        assert_eq!(all.len(), count, "{all:?}");
        all
    }

    #[test]
    fn the_command_is_run_for_each_address() {
        let (mut hook, mut link) = hook("echo $*; echo to stderr >&2");
        assert_eq!(hook.next_timer(), Time::NEVER);
        let mut out = Outputs::default();
        hook.take(Time::ZERO, &mut link, &mut out);
        assert!(link.is_active() && !out.frames.is_empty(), "announced, too");
        let taken = outcomes(&mut hook, Time::ZERO, 2);
        let said: Vec<&str> = taken.iter().map(|o| &o.output[..]).collect();
        assert_eq!(said, ["take 192.0.2.10 eth0\nto stderr", "take 2001:db8::10 eth0\nto stderr"]);
        assert!(taken.iter().all(|o| o.result.is_ok() && o.wish == Wish::Take));
        hook.release(Time::ZERO, &mut link, &mut out);
        assert!(!link.is_active());
        assert!(outcomes(&mut hook, Time::ZERO, 2)[1].output.starts_with("release 2001:db8::10 eth0"));
    }

    #[test]
    fn a_newer_wish_replaces_one_that_waits() {
        let (mut hook, mut link) = hook("true");
        let mut out = Outputs::default();
        hook.take(Time::ZERO, &mut link, &mut out);
        assert!(hook.poll(Time::ZERO).is_empty(), "the first one is under way");
        for _ in 0..10 {
            hook.release(Time::ZERO, &mut link, &mut out);
            hook.take(Time::ZERO, &mut link, &mut out);
        }
        hook.release(Time::ZERO, &mut link, &mut out);
        let wishes: Vec<Wish> = outcomes(&mut hook, Time::ZERO, 3).iter().map(|o| o.wish).collect();
        assert_eq!(wishes, [Wish::Take, Wish::Release, Wish::Release]);
    }

    #[test]
    fn what_fails_says_why() {
        let (mut hook, mut link) = hook("echo no such thing; exit 3");
        let mut out = Outputs::default();
        hook.take(Time::ZERO, &mut link, &mut out);
        let failed = &outcomes(&mut hook, Time::ZERO, 2)[0];
        assert!(
            matches!(&failed.result, Err(AddressError::Failed { status, .. }) if status.code() == Some(3))
        );
        assert_eq!(failed.output, "no such thing");
        for words in [&["/nonexistent/move"][..], &[]] {
            let mut missing = CommandHook::new(words, "eth0", Duration::from_secs(1));
            missing.take(Time::ZERO, &mut link, &mut out);
            let started = outcomes(&mut missing, Time::ZERO, 2);
            assert!(started.iter().all(|o| matches!(o.result, Err(AddressError::Start { .. }))));
        }
    }

    #[test]
    fn what_takes_too_long_is_ended_with_its_children() {
        // The pipe is open as long as one of them lives.
        let (mut hook, mut link) = hook("sleep 1000 & sleep 1000");
        hook.take(Time::ZERO, &mut link, &mut Outputs::default());
        assert!(hook.poll(Time::ZERO).is_empty());
        let mut pipe = hook.running.as_ref().unwrap().output.try_clone().unwrap();
        let late = hook.poll(Time::from_ms(60_000));
        assert!(matches!(late[0].result, Err(AddressError::TooLong { seconds: 60, .. })), "{late:?}");
        drop(hook);
        until("all of them have ended", || {
            pipe.read(&mut [0; 64]).map_or_else(|e| e.kind() != io::ErrorKind::WouldBlock, |n| n == 0)
        });
    }

    #[test]
    fn output_is_bounded() {
        let (mut hook, mut link) = hook("head -c 300000 /dev/zero | tr '\\0' x");
        hook.take(Time::ZERO, &mut link, &mut Outputs::default());
        let said = outcomes(&mut hook, Time::ZERO, 2);
        assert!(said.iter().all(|o| o.output.len() == OUTPUT && o.result.is_ok()));
    }
}
