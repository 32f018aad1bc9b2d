//! The command line.

use crate::contacts::Contacts;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, error::ErrorKind};
use gcs::net::Carrier;
use gcs_stacks::{
    SlowReceiver,
    cli::{self, KeyFiles},
    explain::{explain, list_layers, list_stacks},
};
use std::{
    ffi::OsString,
    net::{SocketAddr, SocketAddrV4},
    path::PathBuf,
};

const EXAMPLES: &str = "\
Examples:
  Three members found a group together, each in a terminal of its own:
    gcs-cat --group chat --bind 127.0.0.1:4001 --contact 127.0.0.1:4002 --expect 3 --name ann
    gcs-cat --group chat --bind 127.0.0.1:4002 --contact 127.0.0.1:4001 --expect 3 --name bob
    gcs-cat --group chat --bind 127.0.0.1:4003 --contact 127.0.0.1:4001 --expect 3 --name cid
  What one types, all print, in the same order. Kill one and see the others go on.

  One more joins, through any member:
    gcs-cat --group chat --bind 127.0.0.1:4004 --contact 127.0.0.1:4001,127.0.0.1:4002 --name dot

  A closed group, whose members have a key (or certificates: see --certificate), and in which all is encrypted:
    openssl rand -hex 32 > group.key; chmod 600 group.key
    gcs-cat --group chat --bind 127.0.0.1:4001 --key-file group.key --found

  Alone, to try the output for programs:
    seq 3 | gcs-cat --group solo --bind 127.0.0.1:4001 --found --json

Output with --json, one object a line:
  {\"event\":\"view\",\"id\":ID,\"members\":[NAME...],\"came_with\":[NAME...]}   who is in the group now, oldest first;
                                         with --partitionable: \"primary\":BOOL, and \"merged\":[[NAME...]...] if parts have met
  {\"event\":\"message\",\"view\":ID,\"from\":NAME,\"seq\":N,\"text\":LINE}      seq counts from 0 for each sender and view
  {\"event\":\"blocked\"}                      no majority in reach: nothing is delivered
  {\"event\":\"resumed\"}                      in reach again, same view
  {\"event\":\"forced\"}                       the operator's word: what follows is a history of its own
  {\"event\":\"left\",\"reason\":WHY}           the last line

At the end of its input it waits until all lines have been delivered, leaves, and exits. SIGINT or SIGTERM end its input,
and it does not wait while it is blocked; a second one stops it abruptly.

Exit code: 0 all is well; 1 some lines may not have been delivered; 2 not, or no longer, in the group: the line on
standard error says why.";

/// Multicasts the lines of its standard input to a group of processes, prints what the group delivers.
#[derive(Clone, Debug, Parser)]
#[command(name = "gcs-cat", version, after_help = EXAMPLES)]
pub struct Args {
    /// The group's name; groups with different names never mix.
    #[arg(long, value_name = "NAME")]
    pub group: String,
    /// The address (UDP and TCP) to be reached at by the other members.
    #[arg(long, value_name = "ADDR:PORT")]
    pub bind: SocketAddr,
    /// What carries the messages: udp, tcp (for networks that drop UDP), or both: TCP to those that UDP does not reach.
    #[arg(long, value_name = "udp|tcp|both", default_value = "udp")]
    pub transport: Carrier,
    /// An IPv4 multicast address for what goes to all members; those that it does not reach are sent to one by one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub multicast: Option<SocketAddrV4>,
    /// The MTU of the network between the members, for jumbo frames. Default: 1500, and more on loopback.
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<usize>,
    /// Whom to ask for the group.
    #[command(flatten)]
    pub contacts: Contacts,
    /// What keeps strangers out.
    #[command(flatten)]
    pub keys: KeyFiles,
    /// Found the group, unless a contact knows of it. Without this and --expect: join a group that exists.
    #[arg(long, conflicts_with = "expect")]
    pub found: bool,
    /// Found the group together with others, as soon as N have met; more than half of all that will ever be started.
    #[arg(long, value_name = "N")]
    pub expect: Option<usize>,
    /// How many votes this member has when the group decides who goes on.
    #[arg(long, value_name = "VOTES", default_value_t = 1)]
    pub weight: u16,
    /// Vote only: keep messages for others, deliver none, send none.
    #[arg(long, conflicts_with = "learner")]
    pub witness: bool,
    /// Do not vote: receive and deliver everything; the group goes on without asking this member.
    #[arg(long, conflicts_with = "weight")]
    pub learner: bool,
    /// Let every part of the group go on when the network is cut; the parts merge when it heals. The same at all members.
    #[arg(long, conflicts_with = "witness")]
    pub partitionable: bool,
    /// What the group promises, a name of --list-stacks; the same at all members.
    #[arg(long, value_name = "NAME", default_value = "total+uniform")]
    pub stack: String,
    /// What happens to a member that takes messages so slowly that others have to wait for it, after so many seconds: it is
    /// excluded and comes back, or goes on as a learner, for which nobody waits; the same at all members.
    #[arg(long, value_name = "wait|exclude:SECONDS|demote:SECONDS", default_value = "wait", value_parser = slow)]
    pub slow_receiver: SlowReceiver,
    /// This member's name, unique in the group; its address if not given.
    #[arg(long)]
    pub name: Option<String>,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub json: bool,
    /// Make a local socket at this path, or in this folder, at which this process says what it knows of itself.
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Serve counters, gauges and histograms for Prometheus at this address, over HTTP.
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Speak no later version of the protocol than this, as an earlier release would.
    #[arg(long, value_name = "VERSION", hide = true)]
    pub protocol_max: Option<u8>,
    /// Show what the process with this control socket says of itself, and exit.
    #[arg(long, value_name = "PATH", exclusive = true)]
    pub probe: Option<PathBuf>,
    /// Tell the process with this control socket to go on without a quorum, as a new primary, and exit. For when the others
    /// will not come back: what they have and it has not is lost, and they would come back with its state.
    #[arg(long, value_name = "PATH", exclusive = true)]
    pub force_primary: Option<PathBuf>,
    /// Show the layers that stacks are made of, with what each needs from below and gives above, and exit.
    #[arg(long, exclusive = true)]
    pub list_layers: bool,
    /// Show the stacks that have names, and exit.
    #[arg(long, exclusive = true)]
    pub list_stacks: bool,
    /// Show which stack gives these properties, layer by layer, and exit.
    #[arg(long, value_name = "PROPERTY,PROPERTY...", exclusive = true)]
    pub explain: Option<String>,
    /// How long to look for the group before giving up, in seconds; 0: forever.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub join_timeout: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s.is_finite() && (0.0..1e9).contains(&s) => Ok(s),
        _ => Err("a number of seconds is wanted, 0 or more".to_owned()),
    }
}

fn slow(text: &str) -> Result<SlowReceiver, String> {
    let after = |text: &str| {
        let s = seconds(text)?;
        if s > 0.0 {
            Ok((s * 1000.0).ceil() as u64)
        } else {
            Err("a time of more than 0 is wanted".to_owned())
        }
    };
    match text.split_once(':') {
        None if text == "wait" => Ok(SlowReceiver::Wait),
        Some(("exclude", time)) => Ok(SlowReceiver::Exclude { after_ms: after(time)? }),
        Some(("demote", time)) => Ok(SlowReceiver::Demote { after_ms: after(time)? }),
        _ => Err("one can say wait, exclude:SECONDS or demote:SECONDS".to_owned()),
    }
}

impl Args {
    /// Reads the command line.
    ///
    /// # Errors
    /// The text that was asked for, to be printed (Ok), or what is wrong, in one sentence (Err).
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, Result<String, String>> {
        let matches = Self::command().try_get_matches_from(words);
        if let Some(answer) = matches.as_ref().ok().and_then(explanation) {
            return Err(answer);
        }
        matches.and_then(|m| Self::from_arg_matches(&m)).map_err(|e| match e.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(e.to_string()),
            _ => Err(sentence(&e.to_string())),
        })
    }

    /// The time to look for the group, in milliseconds.
    #[must_use]
    pub fn join_timeout_ms(&self) -> Option<u64> {
        (self.join_timeout > 0.0).then_some((self.join_timeout * 1000.0).ceil() as u64)
    }
}

/// The text that is asked for instead of a group.
fn explanation(matches: &ArgMatches) -> Option<Result<String, String>> {
    if matches.get_flag("list_layers") {
        return Some(Ok(list_layers()));
    }
    if matches.get_flag("list_stacks") {
        return Some(Ok(list_stacks()));
    }
    if let Some(path) = matches.get_one::<PathBuf>("probe") {
        return Some(cli::report(path));
    }
    if let Some(path) = matches.get_one::<PathBuf>("force_primary") {
        return Some(cli::force_primary(path).map(str::to_owned));
    }
    let wanted: &String = matches.get_one("explain")?;
    Some(explain(wanted).map_err(|e| e.to_string()))
}

/// The first paragraph of a message, in one line.
fn sentence(message: &str) -> String {
    let lines = message.lines().map(str::trim).take_while(|l| !l.is_empty());
    let joined = lines.collect::<Vec<_>>().join(" ");
    format!("{}; gcs-cat --help explains", joined.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, Result<String, String>> {
        Args::read(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_complete_line() {
        let args =
            read("gcs-cat --group g --bind 127.0.0.1:1 --contact 127.0.0.1:2,[::1]:3 --join-timeout 0.5");
        let args = args.unwrap();
        assert_eq!(args.contacts.contact.len(), 2);
        assert_eq!(args.join_timeout_ms(), Some(500));
        assert_eq!(args.stack, "total+uniform");
        assert_eq!((args.weight, args.witness, args.learner), (1, false, false));
        assert_eq!(args.slow_receiver, SlowReceiver::Wait);
        let args = read("gcs-cat --group g --bind 127.0.0.1:1 --learner --slow-receiver demote:2.5").unwrap();
        assert_eq!(args.slow_receiver, SlowReceiver::Demote { after_ms: 2500 });
    }

    #[test]
    fn it_explains_itself() {
        assert!(read("gcs-cat --list-layers").unwrap_err().unwrap().contains("sequencer"));
        assert!(read("gcs-cat --list-stacks").unwrap_err().unwrap().contains("total+uniform"));
        assert!(read("gcs-cat --explain total,uniform").unwrap_err().unwrap().contains("sequencer"));
        let refused = read("gcs-cat --explain total,fast").unwrap_err().unwrap_err();
        assert!(refused.contains("there is no property `fast`"), "{refused}");
    }

    #[test]
    fn what_is_wrong_fits_in_one_line() {
        for line in [
            "gcs-cat",
            "gcs-cat --nonsense",
            "gcs-cat --group g --bind here",
            "gcs-cat --group g --bind 127.0.0.1:1 --found --expect 3",
            "gcs-cat --group g --bind 127.0.0.1:1 --join-timeout never",
            "gcs-cat --group g --bind 127.0.0.1:1 --witness --learner",
            "gcs-cat --group g --bind 127.0.0.1:1 --slow-receiver demote",
            "gcs-cat --group g --bind 127.0.0.1:1 --slow-receiver exclude:0",
        ] {
            let text = read(line).unwrap_err().unwrap_err();
            assert!(!text.contains('\n') && !text.starts_with("error"), "{text}");
        }
        let text = read("gcs-cat").unwrap_err().unwrap_err();
        assert!(text.contains("--group") && text.contains("--bind"), "{text}");
    }

    #[test]
    fn help_is_no_error() {
        assert!(read("gcs-cat --help").unwrap_err().unwrap().contains("Examples:"));
    }
}
