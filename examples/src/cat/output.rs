//! What the group delivers, as lines.

use gcs::{endpoint::Event, endpoint::LeaveReason, id::MemberId, message::Messages, view::ViewChange};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    View {
        id: &'a str,
        members: &'a [String],
        came_with: Vec<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        primary: Option<bool>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        merged: Vec<Vec<&'a str>>,
    },
    Message {
        view: &'a str,
        from: &'a str,
        seq: u64,
        text: &'a str,
    },
    Blocked,
    Forced,
    Resumed,
    Left {
        reason: &'a str,
    },
}

/// Prints events.
pub struct Printer<W> {
    out: W,
    json: bool,
    /// Whether to say of each view if it is the primary component's.
    partitionable: bool,
    /// The present view: its name, and those of its members by rank.
    view: String,
    names: Vec<String>,
}

impl<W: Write> Printer<W> {
    /// Prints to `out`, which should buffer.
    pub fn new(out: W, json: bool, partitionable: bool) -> Self {
        Self { out, json, partitionable, view: String::new(), names: Vec::new() }
    }

    /// Prints an event, if it is one for people.
    ///
    /// # Errors
    /// Those of writing.
    pub fn print(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::View(change) => self.view(change),
            Event::Messages(messages) => self.messages(messages),
            Event::Blocked => self.line(&Line::Blocked),
            Event::Forced(Ok(())) => self.line(&Line::Forced),
            Event::Resumed => self.line(&Line::Resumed),
            Event::Left(reason) => self.left(reason),
            _ => Ok(()),
        }
    }

    /// Writes what is still in the buffer.
    ///
    /// # Errors
    /// Those of writing.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn view(&mut self, change: &ViewChange) -> io::Result<()> {
        self.view = change.view.id.to_string();
        self.names = change.view.members.iter().map(|m| m.name.to_string()).collect();
        let (view, names) = (std::mem::take(&mut self.view), std::mem::take(&mut self.names));
        let name = |id: &MemberId| change.view.rank_of(*id).map(|r| names[usize::from(r)].as_str());
        let came_with = change.came_with.iter().filter_map(name).collect();
        let merged = change.merged.iter().map(|c| c.members.iter().filter_map(name).collect()).collect();
        let primary = self.partitionable.then_some(change.primary);
        let printed = self.line(&Line::View { id: &view, members: &names, came_with, primary, merged });
        (self.view, self.names) = (view, names);
        printed
    }

    fn messages(&mut self, messages: &Messages) -> io::Result<()> {
        // A message of a rank that is not in the view cannot be delivered; should it be, it has no name.
        let from = self.names.get(usize::from(messages.from)).map_or("", String::as_str);
        for (seq, message) in (messages.first..).zip(messages.iter()) {
            let text = String::from_utf8_lossy(message);
            if self.json {
                let line = Line::Message { view: &self.view, from, seq, text: &text };
                serde_json::to_writer(&mut self.out, &line)?;
                self.out.write_all(b"\n")?;
            } else {
                writeln!(self.out, "{from}: {text}")?;
            }
        }
        Ok(())
    }

    fn left(&mut self, reason: &LeaveReason) -> io::Result<()> {
        self.line(&Line::Left { reason: &reason.to_string() })
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.out, line)?;
            return self.out.write_all(b"\n");
        }
        match line {
            Line::View { id, members, came_with, primary, merged } => {
                let new: Vec<_> =
                    members.iter().map(String::as_str).filter(|m| !came_with.contains(m)).collect();
                let new = if new.is_empty() { String::new() } else { format!("; new: {}", new.join(", ")) };
                let alone = if *primary == Some(false) { "; a part that goes on alone" } else { "" };
                let parts: Vec<_> = merged.iter().map(|p| p.join(", ")).collect();
                let met =
                    if parts.is_empty() { String::new() } else { format!("; met: {}", parts.join(" | ")) };
                writeln!(self.out, "-- view {id}: {}{new}{met}{alone}", members.join(", "))
            }
            Line::Message { from, text, .. } => writeln!(self.out, "{from}: {text}"),
            Line::Blocked => writeln!(self.out, "-- blocked: no majority of the members is in reach"),
            Line::Forced => writeln!(self.out, "-- forced by the operator: goes on alone, in a new epoch"),
            Line::Resumed => writeln!(self.out, "-- resumed"),
            Line::Left { reason } => writeln!(self.out, "-- left: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use gcs::{
        id::Incarnation,
        view::{Member, View, ViewId},
    };
    use std::sync::Arc;

    fn printed(json: bool) -> String {
        let member = |port: u16, name: &str| {
            let addr = ([127, 0, 0, 1], port).into();
            Member::new(MemberId { addr, incarnation: Incarnation(1) }, name)
        };
        let members: Arc<[Member]> = [member(1, "ann"), member(2, "bob")].into();
        let came_with = vec![members[1].id];
        let view = View { id: ViewId { epoch: 0x1f, number: 3 }, members };
        let mut p = Printer::new(Vec::new(), json, false);
        let change =
            ViewChange { view, rank: 1, came_with, primary: true, merged: Vec::new(), awaits_state: false };
        p.print(&Event::View(change)).unwrap();
        p.print(&Event::Messages(Messages::single(0, 7, Bytes::from_static(b"a \"b\"\xff")))).unwrap();
        p.print(&Event::Writable(true)).unwrap();
        p.print(&Event::Blocked).unwrap();
        p.print(&Event::Resumed).unwrap();
        p.print(&Event::Left(LeaveReason::Asked)).unwrap();
        String::from_utf8(p.out).unwrap()
    }

    #[test]
    fn json() {
        let expected = [
            r#"{"event":"view","id":"1f.3","members":["ann","bob"],"came_with":["bob"]}"#,
            r#"{"event":"message","view":"1f.3","from":"ann","seq":7,"text":"a \"b\"�"}"#,
            r#"{"event":"blocked"}"#,
            r#"{"event":"resumed"}"#,
            r#"{"event":"left","reason":"left as asked"}"#,
        ];
        assert_eq!(printed(true).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn text() {
        let expected = [
            "-- view 1f.3: ann, bob; new: ann",
            "ann: a \"b\"�",
            "-- blocked: no majority of the members is in reach",
            "-- resumed",
            "-- left: left as asked",
        ];
        assert_eq!(printed(false).lines().collect::<Vec<_>>(), expected);
    }
}
