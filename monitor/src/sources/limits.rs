//! How much sources may say, together and each.

use std::time::Duration;

/// Attributes that an agent reports, of all sources together.
pub const ATTRIBUTES: usize = 64;
/// Bytes of names and values of all of them, as they are encoded in a row; half of what [`crate::codec::RowLimits`] lets through.
pub const ROW_BYTES: usize = 4096;
/// Bytes of one value as it is encoded.
pub const VALUE_BYTES: usize = 512;
/// Elements of a list.
pub const ELEMENTS: usize = 32;
/// Bytes of a body that the HTTP interface takes.
pub const BODY_BYTES: usize = 16 << 10;
/// Connections to the HTTP interface at a time; more have to wait.
pub const CONNECTIONS: usize = 32;
/// The longest that an application may ask for an attribute to live.
pub const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Bytes of a file from which a pointer reads, of a command's output, and of metrics.
pub const DOCUMENT_BYTES: usize = 1 << 20;
/// Bytes at the end of a file in which a pattern is looked for.
pub const TAIL_BYTES: usize = 64 << 10;
/// Bytes of one text file, and how many are read.
pub const TEXTFILE_BYTES: usize = 64 << 10;
/// Files of the directory of text files that are read.
pub const TEXTFILES: usize = 64;
/// Entries of the directory of text files that are looked at.
pub const DIRECTORY_ENTRIES: usize = 1024;
/// Names in statsd datagrams that are kept apart.
pub const STATSD_NAMES: usize = 64;
/// Datagrams that are read in [`STATSD_TICK`]; after those, the system drops what its buffer does not hold.
pub const STATSD_DATAGRAMS: u32 = 2_000;
/// Bytes of a datagram that count as one; longer ones count as several.
pub const STATSD_DATAGRAM: usize = 512;
/// See [`STATSD_DATAGRAMS`].
pub const STATSD_TICK: Duration = Duration::from_millis(100);
/// Bytes of a datagram.
pub const DATAGRAM_BYTES: usize = 8 << 10;
/// Bytes of an error that are kept to be shown.
pub const ERROR_BYTES: usize = 300;
