//! What the system counts of a process.

use std::process::Command;

/// User and system time of a process.
pub fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in brackets may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let output = Command::new("getconf").arg("CLK_TCK").output().unwrap();
    ticks / String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().unwrap_or(100.0)
}

/// Bytes of memory that this process takes. A page that many mappings share is counted once: the first image of a guest's memory is
/// mapped by each of its calls.
pub fn memory() -> u64 {
    let sums = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = sums.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
