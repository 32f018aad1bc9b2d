//! The rule by which findings become a verdict.
//!
//! Who has seen the process end, and is its supervisor, decides: it is down. Otherwise the larger side decides, if it has as many
//! observers as the component asks for; fewer than that have looked: all of them have to agree. Whom nothing else answers stays as it is. Who
//! finds it sluggish finds it up: it answers.

use crate::health::verdict::{Cause, Finding, Health};

/// What the findings mean for an instance of this health. None: nothing changes. `certain`: its supervisor has seen it end.
pub(super) fn decide(
    health: Health,
    witnesses: u8,
    findings: impl Iterator<Item = Finding>,
    certain: bool,
) -> Option<(Health, Cause)> {
    let (mut up, mut down) = (0, 0);
    for finding in findings {
        match finding {
            Finding::Up | Finding::Sluggish => up += 1,
            Finding::Down => down += 1,
        }
    }
    let needed = usize::from(witnesses).min(up + down);
    let verdict = if certain {
        (Health::Down, Cause::Certain)
    } else if up + down == 0 && health == Health::Up {
        (Health::Unknown, Cause::Silent)
    } else if down > up && down >= needed {
        (Health::Down, Cause::Agreed)
    } else if up > down && up >= needed {
        (Health::Up, Cause::Agreed)
    } else {
        return None;
    };
    (verdict.0 != health).then_some(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Finding::{Down as D, Sluggish as S, Up as U};

    #[test]
    fn findings_and_what_they_mean() {
        let (up, down, none) = (Some(Health::Up), Some(Health::Down), None);
        let table: &[(Health, u8, &[Finding], Option<Health>)] = &[
            (Health::Unknown, 2, &[], none),
            (Health::Unknown, 2, &[U], up),
            (Health::Unknown, 2, &[D], down),
            (Health::Up, 2, &[D], down),
            (Health::Up, 2, &[D, U], none),
            (Health::Up, 2, &[D, U, U], none),
            (Health::Up, 2, &[D, D, U], down),
            (Health::Up, 2, &[D, D, U, U], none),
            (Health::Down, 2, &[D, D, U, U], none),
            (Health::Down, 2, &[D, U, S], up),
            (Health::Up, 3, &[D, D], down),
            (Health::Up, 3, &[D, D, U], none),
            (Health::Up, 3, &[D, D, D, U], down),
            (Health::Up, 2, &[S, S, S], none),
            (Health::Down, 2, &[], none),
            (Health::Up, 2, &[], Some(Health::Unknown)),
            (Health::Gone, 1, &[], none),
        ];
        for (health, witnesses, findings, expected) in table {
            let verdict = decide(*health, *witnesses, findings.iter().copied(), false);
            assert_eq!(verdict.map(|(h, _)| h), *expected, "{health} {witnesses} {findings:?}");
        }
    }

    #[test]
    fn who_has_seen_it_end_decides() {
        let all_up = [U, U, U].into_iter();
        assert_eq!(decide(Health::Up, 2, all_up.clone(), true), Some((Health::Down, Cause::Certain)));
        assert_eq!(decide(Health::Down, 2, all_up, true), None);
    }
}
