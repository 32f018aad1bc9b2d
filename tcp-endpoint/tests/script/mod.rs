//! Scripted packet exchanges, in the style of packetdrill (Cardwell et al., USENIX ATC 2013): what arrives, what the application
//! does, and exactly what has to leave when.
//!
//! ```text
//! # What it shows, and which rule that is.
//! config nagle=on delayed_ack=.04        settings that differ from the defaults, times in seconds
//! use passive                            the lines of scripts/opening/passive.txt
//! +0   < P. 1:1001(1000) ack 1 win 200   a segment arrives; `+0`: as long after the line before
//! +.04 > . 1:1(0) ack 1001               a segment leaves, then and not before
//! +0   read 1000                         the application's: listen, connect, write, read, shutdown, close, abort; kick, mtu
//! +0   state CloseWait                   what has to be so: accepted, connected, readable, writable, finished, gone, held, ...
//! +5   silence                           nothing leaves for so long
//! flow 4001                              the lines below are about another port of the peer
//! ```
//!
//! Numbers are relative to both streams' beginnings; `win` is the field of the header, and need not be said of what leaves. Timestamps of
//! ours count milliseconds from the first one, those of the peer are what the script says; `*` is any, or the last. A segment that
//! leaves has exactly the options that are written, or with `<...>` any.
//!
//! - [`notation`]: lines as values, segments as text. [`run`]: does what they say.

pub(crate) mod notation;
pub(crate) mod run;
