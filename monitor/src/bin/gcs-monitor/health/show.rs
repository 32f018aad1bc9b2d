//! What was told, as lines for people.

use gcs_monitor::health::{
    name::Label,
    verdict::{Finding, Standing, Verdict, Witness},
    wire::{Listed, Told},
};

/// A time of day, in milliseconds since the Unix epoch, as `2026-01-31T12:00:00.000Z` (days to dates as in Hinnant,
/// "chrono-compatible low-level date algorithms").
fn time(ms: u64) -> String {
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

fn finding(finding: Finding) -> &'static str {
    match finding {
        Finding::Up => "up",
        Finding::Sluggish => "sluggish",
        Finding::Down => "down",
    }
}

fn witness(witness: &Witness) -> String {
    format!("{} {} ({})", witness.observer, finding(witness.finding), witness.evidence)
}

fn standing(component: &Label, standing: &Standing) -> String {
    let Standing { instance, health, since_ms, address } = standing;
    let address = address.map_or(String::new(), |a| format!(" at {a}"));
    format!("{component} {instance} {health} since {}{address}", time(*since_ms))
}

fn verdict(component: &Label, v: &Verdict) -> String {
    let address = v.address.map_or(String::new(), |a| format!(" at {a}"));
    format!("{component} #{} {} {} {} {}{address}", v.seq, v.instance, v.health, v.cause, time(v.at_ms))
}

/// What a watcher is told.
pub(super) fn told(told: &Told) -> Vec<String> {
    match told {
        Told::Lapsed { component } => vec![format!("{component} lapsed")],
        Told::Verdict { component, verdict: v, .. } => vec![verdict(component, v)],
        Told::Snapshot { component, position, instances } => {
            let head = format!("{component} as of #{}: {} instances", position.seq, instances.len());
            let all = instances.iter().map(|i| format!("  {}", standing(component, i)));
            std::iter::once(head).chain(all).collect()
        }
    }
}

/// A component in a list.
pub(super) fn listed(listed: &Listed) -> Vec<String> {
    let mut lines = vec![format!("{} #{}", listed.component, listed.position.seq)];
    for instance in &listed.instances {
        let held = if instance.held { ", held down: it goes up and down too often" } else { "" };
        lines.push(format!("  {}{held}", standing(&listed.component, &instance.standing)));
        lines.extend(instance.opinions.iter().map(|w| format!("    {}", witness(w))));
    }
    lines
}

/// A verdict and its witnesses.
pub(super) fn history(component: &Label, v: &Verdict) -> Vec<String> {
    let head = std::iter::once(verdict(component, v));
    head.chain(v.witnesses.iter().map(|w| format!("    {}", witness(w)))).collect()
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_of_day() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
