//! What a process uses, as the kernel tells in `/proc`; see proc(5).
//!
//! Nothing is known where there is no `/proc`: usage is then left as the engine told it, and no process is retired for
//! its size.

use std::fs;

/// The unit of processor time in `/proc`; the same on every architecture that Linux calls by `USER_HZ`.
const MILLIS_PER_TICK: u64 = 10;
/// Column of `utime` after the name of the program, which may hold blanks and ends with the last parenthesis.
const UTIME: usize = 11;

/// A measurement from the begin of an order to its end.
pub(super) struct Meter {
    pid: u32,
    cpu_ms: Option<u64>,
}

impl Meter {
    /// Begins, and forgets the peak of memory that earlier orders reached.
    pub(super) fn start(pid: u32) -> Self {
        // Without the reset the peak is that of the life of the process, which is still an upper bound.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        Self {
            pid,
            cpu_ms: cpu_ms(pid),
        }
    }

    /// Processor time since the start.
    pub(super) fn cpu_ms(&self) -> Option<u64> {
        Some(cpu_ms(self.pid)?.saturating_sub(self.cpu_ms?))
    }

    /// The largest resident set since the start.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        status_bytes(self.pid, "VmHWM:")
    }
}

/// The memory that a process occupies now.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmRSS:")
}

fn cpu_ms(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, columns) = stat.rsplit_once(')')?;
    let mut times = columns.split_whitespace().skip(UTIME);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some((user + system) * MILLIS_PER_TICK)
}

fn status_bytes(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_measured() {
        let pid = std::process::id();
        let meter = Meter::start(pid);
        assert!(meter.cpu_ms().is_some());
        assert!(meter.peak_bytes().unwrap() > 1 << 16);
        assert!(resident_bytes(pid).unwrap() > 1 << 16);
        assert_eq!(resident_bytes(0), None);
    }
}
