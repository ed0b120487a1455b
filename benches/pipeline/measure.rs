//! Figures: what the operating system says of processes, and how several rounds become one line.

use serde_json::{Value, json};

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// The processor time that processes have used, in milliseconds.
pub fn cpu_ms(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
        // Linux counts in hundredths of a second.
        (ticks(11) + ticks(12)) * 10
    };
    pids.iter().map(of).sum()
}

/// PostgreSQL's processes on this machine.
pub fn postgres_pids() -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("processes").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_postgres =
        |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "postgres");
    pids.filter(is_postgres).collect()
}

/// The most memory that a process has had, in MiB.
pub fn peak_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
    let kib: f64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib / 1_024.0
}

/// The figures of several rounds.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Value {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let round = |value: f64| (value * 100.0).round() / 100.0;
    let (Some(min), Some(max)) = (values.first(), values.last()) else { return Value::Null };
    json!({ "min": round(*min), "median": round(values[values.len() / 2]), "max": round(*max) })
}

/// One line of a case: ours, the ceiling, and ours as a share of it, of each round.
pub fn tell(case: &str, unit: &str, rounds: &[(f64, Option<f64>)]) {
    let ratios: Vec<_> = rounds.iter().filter_map(|(ours, ceiling)| ceiling.map(|ceiling| ours / ceiling)).collect();
    println!(
        "{}",
        json!({
            "case": case,
            "unit": unit,
            "ours": spread(rounds.iter().map(|(ours, _)| *ours)),
            "ceiling": spread(rounds.iter().filter_map(|(_, ceiling)| *ceiling)),
            "ratio": spread(ratios),
        })
    );
}
