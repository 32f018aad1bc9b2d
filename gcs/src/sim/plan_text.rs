//! Plans as text, one step a line; what a failing seed prints, and what scenario files contain.
//!
//! ```text
//! processes 5 founders 3                 # p0, p1, p2 are started at the beginning
//! role p0 weight 3                       # it has three votes; others have one
//! role p1 witness 2                      # a witness with two votes
//! role p4 learner                        # it does not vote
//! at 120ms kill p1                       # its kernel tells those who watch it
//! at 120ms kill p1 silently              # the host is dead
//! at 900ms stop all                      # whoever starts then founds the group anew
//! at 300ms start p1
//! at 10ms pause p2 for 300ms
//! at 10ms leave p2
//! at 900ms force p2                      # its operator tells it to go on without a quorum
//! at 10ms cast p2                        # its application casts one message
//! at 10ms congest p1 for 200ms
//! at 5ms cut p0->p2                      # until `heal`
//! at 5ms cut p0<->p2 for 100ms
//! at 10ms partition p0 p1 for 500ms
//! at 600ms heal
//! at 10ms loss 50 for 200ms              # per mille; also duplicate, reorder, corrupt
//! at 10ms delay 5000 for 200ms           # microseconds
//! at 10ms bandwidth 500 for 200ms        # kilobytes a second and link
//! at 10ms stranger 20
//! when p0 sends prepare #2 kill p0       # once it has sent its second one
//! from 1s when p0 sends decide kill p0   # the first one that it sends after 1 s
//! ```

use super::{
    network::Disturbance,
    plan::{Fault, Plan, Step, When},
};
use crate::view::Role;
use std::fmt;

const DISTURBANCES: [(&str, Disturbance); 6] = [
    ("loss", Disturbance::Loss),
    ("duplicate", Disturbance::Duplicate),
    ("reorder", Disturbance::Reorder),
    ("corrupt", Disturbance::Corrupt),
    ("delay", Disturbance::Delay),
    ("bandwidth", Disturbance::Bandwidth),
];

/// A line that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}: `{text}`")]
pub struct PlanError {
    /// Counts from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
    /// The line.
    pub text: String,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "processes {} founders {}", self.processes, self.founders)?;
        for (process, role) in &self.roles {
            match role {
                Role { weight: 0, .. } => writeln!(f, "role p{process} learner")?,
                Role { weight, witness: true } => writeln!(f, "role p{process} witness {weight}")?,
                Role { weight, witness: false } => writeln!(f, "role p{process} weight {weight}")?,
            }
        }
        self.steps.iter().try_for_each(|s| writeln!(f, "{s}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.when {
            When::At(at) => write!(f, "at {} ", Span(*at))?,
            When::Sends { process, kind, nth, from } => {
                if *from > 0 {
                    write!(f, "from {} ", Span(*from))?;
                }
                write!(f, "when p{process} sends {kind} #{nth} ")?;
            }
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = |lasts: &Option<u64>| lasts.map_or_else(String::new, |l| format!(" for {}", Span(l)));
        match self {
            Self::Kill { process, evidence } => {
                write!(f, "kill p{process}{}", if *evidence { "" } else { " silently" })
            }
            Self::StopAll => f.write_str("stop all"),
            Self::Start { process } => write!(f, "start p{process}"),
            Self::Pause { process, lasts } => write!(f, "pause p{process} for {}", Span(*lasts)),
            Self::Leave { process } => write!(f, "leave p{process}"),
            Self::Force { process } => write!(f, "force p{process}"),
            Self::Renew { process } => write!(f, "renew p{process}"),
            Self::Cast { process } => write!(f, "cast p{process}"),
            Self::Congest { process, lasts } => write!(f, "congest p{process} for {}", Span(*lasts)),
            Self::Cut { from, to, both, lasts } => {
                let arrow = if *both { "<->" } else { "->" };
                write!(f, "cut p{from}{arrow}p{to}{}", tail(lasts))
            }
            Self::Partition { side, lasts } => {
                f.write_str("partition")?;
                side.iter().try_for_each(|p| write!(f, " p{p}"))?;
                f.write_str(&tail(lasts))
            }
            Self::Heal => f.write_str("heal"),
            Self::Disturb { what, value, lasts } => {
                let name = DISTURBANCES.iter().find(|(_, d)| d == what).map_or("", |(n, _)| n);
                write!(f, "{name} {value} for {}", Span(*lasts))
            }
            Self::Stranger { count } => write!(f, "stranger {count}"),
        }
    }
}

/// A duration, as `120ms` or `1500us`.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1_000_000) {
            write!(f, "{}ms", self.0 / 1_000_000)
        } else if self.0.is_multiple_of(1_000) {
            write!(f, "{}us", self.0 / 1_000)
        } else {
            write!(f, "{}ns", self.0)
        }
    }
}

/// A duration in nanoseconds from `3s`, `120ms`, `1500us`, `7ns`.
pub(super) fn span(text: &str) -> Result<u64, &'static str> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" => 1_000,
        "ns" => 1,
        _ => return Err("a duration ends in s, ms, us or ns"),
    };
    let number: u64 = digits.parse().map_err(|_| "a duration begins with a number")?;
    number.checked_mul(unit).ok_or("too long")
}

/// A process from `p3`.
pub(super) fn process(text: &str) -> Result<usize, &'static str> {
    let number = text.strip_prefix('p').and_then(|n| n.parse().ok());
    number.filter(|n| *n < 200).ok_or("a process is p0, p1, …")
}

fn number(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "not a number")
}

fn fault(words: &[&str]) -> Result<Fault, &'static str> {
    let (words, lasts) = match words {
        [before @ .., "for", d] => (before, Some(span(d)?)),
        _ => (words, None),
    };
    let required = lasts.ok_or("says not for how long");
    Ok(match words {
        ["kill", p] => Fault::Kill { process: process(p)?, evidence: true },
        ["kill", p, "silently"] => Fault::Kill { process: process(p)?, evidence: false },
        ["stop", "all"] => Fault::StopAll,
        ["start", p] => Fault::Start { process: process(p)? },
        ["pause", p] => Fault::Pause { process: process(p)?, lasts: required? },
        ["leave", p] => Fault::Leave { process: process(p)? },
        ["renew", p] => Fault::Renew { process: process(p)? },
        ["force", p] => Fault::Force { process: process(p)? },
        ["cast", p] => Fault::Cast { process: process(p)? },
        ["congest", p] => Fault::Congest { process: process(p)?, lasts: required? },
        ["cut", link] => {
            let both = link.contains("<->");
            let (a, b) =
                link.split_once(if both { "<->" } else { "->" }).ok_or("a link is p0->p1 or p0<->p1")?;
            Fault::Cut { from: process(a)?, to: process(b)?, both, lasts }
        }
        ["partition", side @ ..] if !side.is_empty() => {
            Fault::Partition { side: side.iter().map(|p| process(p)).collect::<Result<_, _>>()?, lasts }
        }
        ["heal"] => Fault::Heal,
        ["stranger", n] => Fault::Stranger { count: number(n)? },
        [name, value] => {
            let what = DISTURBANCES.iter().find(|(n, _)| n == name).ok_or("no such fault")?.1;
            Fault::Disturb { what, value: number(value)?, lasts: required? }
        }
        _ => return Err("no such fault"),
    })
}

/// A step from the words of a line.
pub(super) fn step(words: &[&str]) -> Result<Step, &'static str> {
    let (from, words) = match words {
        ["from", from, rest @ ..] => (span(from)?, rest),
        _ => (0, words),
    };
    match words {
        ["at", at, rest @ ..] if from == 0 => Ok(Step { when: When::At(span(at)?), fault: fault(rest)? }),
        ["when", p, "sends", kind, rest @ ..] => {
            let (nth, rest) = match rest {
                [n, rest @ ..] if n.starts_with('#') => (n[1..].parse().map_err(|_| "not a number")?, rest),
                _ => (1, rest),
            };
            let when = When::Sends { process: process(p)?, kind: (*kind).to_owned(), nth, from };
            Ok(Step { when, fault: fault(rest)? })
        }
        _ => Err("a line begins with `processes`, `at`, `when` or `from … when`"),
    }
}

/// The line's words, without its comment.
pub(super) fn words(line: &str) -> Vec<&str> {
    // A comment begins with `# ` or ends the line; `#2` is a count.
    let end = line.match_indices('#').find(|(i, _)| !line[i + 1..].starts_with(|c: char| c.is_ascii_digit()));
    line[..end.map_or(line.len(), |(i, _)| i)].split_whitespace().collect()
}

impl Plan {
    /// Reads a plan, see the example in the module's description.
    ///
    /// # Errors
    /// The first line that is not understood.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for (i, line) in text.lines().enumerate() {
            plan.parse_line(&words(line)).map_err(|problem| PlanError {
                line: i + 1,
                problem,
                text: line.to_owned(),
            })?;
        }
        Ok(plan)
    }

    pub(super) fn parse_line(&mut self, words: &[&str]) -> Result<(), &'static str> {
        match words {
            [] => {}
            ["processes", n] => {
                self.processes = count(n)?;
                self.founders = self.processes;
            }
            ["processes", n, "founders", m] => {
                (self.processes, self.founders) = (count(n)?, count(m)?);
                if self.founders > self.processes {
                    return Err("more founders than processes");
                }
            }
            ["role", p, role @ ..] => {
                let process = process(p)?;
                if process >= self.processes {
                    return Err("there is no such process; `processes` comes first");
                }
                let votes = |n: &str| n.parse().ok().filter(|n| *n > 0).ok_or("not a number of votes");
                let role = match role {
                    ["learner"] => Role::LEARNER,
                    ["weight", n] => Role { weight: votes(n)?, witness: false },
                    ["witness"] => Role { weight: 1, witness: true },
                    ["witness", n] => Role { weight: votes(n)?, witness: true },
                    _ => return Err("a role is `learner`, `weight N` or `witness N`"),
                };
                self.roles.insert(process, role);
            }
            _ => {
                let step = step(words)?;
                if step.highest().is_some_and(|p| p >= self.processes) {
                    return Err("there is no such process; `processes` comes first");
                }
                self.steps.push(step);
            }
        }
        Ok(())
    }
}

fn count(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|n| (1..=64).contains(n)).ok_or("there can be 1 to 64 processes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "\
processes 5 founders 3
role p0 weight 3
role p1 witness 2
role p4 learner
at 120ms kill p1
at 120ms kill p1 silently
at 300ms start p4
at 900ms stop all
at 10ms pause p2 for 300ms
at 10ms leave p2
at 900ms force p2
at 10ms cast p2
at 10ms congest p1 for 1500us
at 5ms cut p0->p2
at 5ms cut p0<->p2 for 100ms
at 10ms partition p0 p1 for 500ms
at 600ms heal
at 10ms loss 50 for 200ms
at 10ms bandwidth 500 for 7ns
at 10ms stranger 20
when p0 sends prepare #2 kill p0
from 1500us when p0 sends decide #1 kill p0
";

    #[test]
    fn text_comes_back() {
        let plan = Plan::parse(ALL).expect("well-formed");
        assert_eq!(plan.to_string(), ALL);
        let commented = "# a comment\nprocesses 2 # two\n\nwhen p0 sends accept kill p1 silently # now\n";
        let plan = Plan::parse(commented).expect("well-formed");
        assert_eq!(plan.to_string(), "processes 2 founders 2\nwhen p0 sends accept #1 kill p1 silently\n");
    }

    #[test]
    fn errors_name_the_line() {
        for bad in [
            "at 5 kill p0",
            "at 5ms kill",
            "at 5ms kill p9",
            "at 5ms pause p0",
            "at 5ms cut p0",
            "at 5ms noise 3 for 1s",
            "when p0 kill p1",
            "from 5ms at 5ms kill p0",
            "from when p0 sends join kill p0",
            "processes 0",
            "at 99999999999999s heal",
        ] {
            let e = Plan::parse(&format!("processes 2\n{bad}")).expect_err(bad);
            assert_eq!((e.line, e.text.as_str()), (2, bad));
        }
    }
}
