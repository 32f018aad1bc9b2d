//! The table `processes`.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::{ROWS_MAX, text};
use crate::{row::Row, value::Value};

/// Bytes of a command line that are shown.
const COMMAND_BYTES: usize = 512;

/// Reads processes; what a process uses of a processor is told from the second time on.
#[derive(Debug, Default)]
pub(super) struct Processes(Option<System>);

impl Processes {
    /// One row a process: `pid`, `parent`, `name`, `command`, `state`, `cpu` (of one core, in per cent), `memory` (bytes), `started` (seconds
    /// since 1970).
    pub(super) fn read(&mut self) -> Vec<Row> {
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().with_cmd(UpdateKind::OnlyIfNotSet);
        if self.0.is_none() {
            // Where the system tells nothing, there are no rows.
            self.0 = System::new().ok();
        }
        let Some(system) = &mut self.0 else { return Vec::new() };
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        let processes = system.processes().values().filter(|process| process.thread_kind().is_none());
        processes.take(ROWS_MAX).map(row).collect()
    }
}

fn row(process: &sysinfo::Process) -> Row {
    let words: Vec<_> = process.cmd().iter().map(|word| word.to_string_lossy()).collect();
    let mut command = words.join(" ");
    command.truncate(command.floor_char_boundary(COMMAND_BYTES));
    let int = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Row::new([
        ("pid", int(process.pid().as_u32().into())),
        ("parent", process.parent().map_or(Value::Null, |parent| int(parent.as_u32().into()))),
        ("name", text(process.name().to_string_lossy())),
        ("command", text(command)),
        ("state", text(process.status().to_string().to_lowercase())),
        ("cpu", Value::float(process.cpu_usage().into())),
        ("memory", int(process.memory())),
        ("started", int(process.start_time())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there() {
        let own = Value::Int(std::process::id().into());
        let rows = Processes::default().read();
        let row = rows.iter().find(|row| *row.get("pid") == own).unwrap();
        assert!(row.get("memory").as_int() > Some(100_000), "{row:?}");
        assert!(row.get("command").as_text().is_some_and(|command| command.len() > 3), "{row:?}");
    }
}
