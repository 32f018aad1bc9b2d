//! A segment finds its connection, a listener, a memory, or nobody (RFC 9293, sections 3.10.7.1 and 3.10.7.2).

use super::{
    Host,
    remembered::Verdict,
    secrets,
    table::{Id, Pair},
};
use crate::tcp::{Segment, Seq, connection::Connection};

/// How long after the last cookie an answer to it may come: two of its clock's ticks.
const COOKIES_LAST: std::time::Duration = std::time::Duration::from_secs(128);

impl Host {
    /// A segment has arrived.
    pub fn segment(&mut self, segment: &Segment) {
        self.counters.segments_in += 1;
        let pair = Pair::new(segment.to, segment.from);
        if let Some(id) = self.table.find(&pair) {
            return self.give(id, segment);
        }
        match self.memory.judge(self.now, &pair, segment, self.config.linger, self.config.remembered) {
            Verdict::Over(answer) => self.out.extend(answer.map(|a| *a)),
            Verdict::Begins(behind) => self.begins(segment, Some(behind)),
            Verdict::Unknown => self.begins(segment, None),
        }
    }

    /// Whether a segment would say anything new. Nothing changes.
    #[must_use]
    pub fn awaits(&self, segment: &Segment) -> bool {
        let id = self.table.find(&Pair::new(segment.to, segment.from));
        id.and_then(|id| self.table.get(id)).is_none_or(|connection| connection.awaits(segment))
    }

    /// A router says that packets to the peer may be no longer than `mtu` bytes; `seq` is the number in the header that it sent back.
    pub fn path_mtu(
        &mut self,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
        seq: Seq,
        mtu: u16,
    ) {
        let now = self.now;
        if let Some(id) = self.table.find(&Pair::new(local, remote))
            && let Some(connection) = self.table.touch(id)
        {
            connection.path_mtu(now, seq, mtu);
        }
    }

    fn give(&mut self, id: Id, segment: &Segment) {
        self.change(id, |connection, host| connection.on_segment(segment, host));
    }

    /// A segment that belongs to no connection.
    fn begins(&mut self, segment: &Segment, behind: Option<Seq>) {
        let listened = self.listens(segment.to);
        if listened && segment.syn && segment.ack.is_none() && !segment.rst {
            self.open(segment, behind);
        } else if !(listened && self.answers_cookie(segment)) {
            self.counters.refused += 1;
            self.out.extend(segment.refusal());
        }
    }

    fn open(&mut self, syn: &Segment, behind: Option<Seq>) {
        if syn.fin {
            return;
        }
        if self.table.len() - self.opening as usize >= self.config.connections as usize {
            self.counters.overflow += 1;
            return;
        }
        if self.opening >= self.config.opening {
            self.counters.cookies += 1;
            self.cookies_until = self.now + COOKIES_LAST;
            let mss = self.config.mss(syn.from.is_ipv6());
            self.out.push(secrets::answer(&self.secret, syn, self.now, mss, self.config.shift()));
            return;
        }
        let (isn, offset) = secrets::of_connection(&self.secret, syn.to, syn.from, self.now);
        let secrets = (secrets::behind(isn, behind), offset);
        let connection = Connection::passive(syn, self.now, &self.config, secrets);
        self.opening += 1;
        let id = self.table.insert(connection);
        self.table.touch(id);
    }

    /// Whether `segment` acknowledges a cookie: then the connection is as if it had been remembered.
    fn answers_cookie(&mut self, segment: &Segment) -> bool {
        if self.cookies_until <= self.now || segment.syn || segment.rst {
            return false;
        }
        let Some(was) = secrets::check(&self.secret, segment, self.now) else { return false };
        if self.table.len() >= self.config.connections as usize {
            self.counters.overflow += 1;
            return true;
        }
        let mut syn = Segment::new(segment.from, segment.to, Seq(segment.seq.0.wrapping_sub(1)), None);
        syn.syn = true;
        syn.options = was.options;
        let mut connection = Connection::passive(&syn, self.now, &self.config, (was.isn, was.offset));
        connection.answered(self.now, &self.config);
        self.opening += 1;
        let id = self.table.insert(connection);
        self.give(id, segment);
        true
    }
}
