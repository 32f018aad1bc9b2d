//! [`Validity`]: from when until when something counts.

use super::refusal::Refusal;

/// Seconds since 1970, UTC: from when, and when no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Validity {
    issued_s: u64,
    expires_s: u64,
}

impl Validity {
    /// From a moment on for so many seconds, at least one.
    #[must_use]
    pub const fn new(issued_s: u64, for_s: u64) -> Self {
        let issued_s = if issued_s == u64::MAX { issued_s - 1 } else { issued_s };
        let for_s = if for_s == 0 { 1 } else { for_s };
        Self { issued_s, expires_s: issued_s.saturating_add(for_s) }
    }

    /// As it is written, moment and length; None if these are none.
    pub(super) fn read(issued_s: u64, for_s: u64) -> Option<Self> {
        let expires_s = issued_s.checked_add(for_s)?;
        (for_s > 0).then_some(Self { issued_s, expires_s })
    }

    /// Since when, in seconds since 1970.
    #[must_use]
    pub const fn issued_s(&self) -> u64 {
        self.issued_s
    }

    /// From when on not any more, in seconds since 1970.
    #[must_use]
    pub const fn expires_s(&self) -> u64 {
        self.expires_s
    }

    /// How long, in seconds.
    #[must_use]
    pub const fn seconds(&self) -> u64 {
        self.expires_s - self.issued_s
    }

    /// Whether it counts now, by a clock that may be wrong by `skew_s`. What it is about is asked only when it does not.
    pub(super) fn check(
        &self,
        now_s: u64,
        skew_s: u64,
        what: impl FnOnce() -> String,
    ) -> Result<(), Refusal> {
        if self.issued_s > now_s.saturating_add(skew_s) {
            return Err(Refusal::NotYet { what: what(), seconds: self.issued_s - now_s });
        }
        if self.expires_s.saturating_add(skew_s) <= now_s {
            return Err(Refusal::Expired { what: what(), seconds: now_s - self.expires_s });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_its_first_second_to_its_last() {
        let validity = Validity::new(1000, 500);
        let counts = |now_s, skew_s| validity.check(now_s, skew_s, String::new).is_ok();
        for (now_s, skew_s, expected) in [
            (999, 0, false),
            (1000, 0, true),
            (1499, 0, true),
            (1500, 0, false),
            (939, 60, false),
            (940, 60, true),
            (1559, 60, true),
            (1560, 60, false),
            (0, u64::MAX, true),
            (u64::MAX, 0, false),
        ] {
            assert_eq!(counts(now_s, skew_s), expected, "{now_s} {skew_s}");
        }
    }

    #[test]
    fn extremes_stay_extremes() {
        let validity = Validity::new(u64::MAX, 0);
        assert_eq!(validity.seconds(), 1);
        assert_eq!(Validity::read(u64::MAX, 1), None);
        assert_eq!(Validity::read(5, 0), None);
        assert_eq!(Validity::read(5, 7), Some(Validity::new(5, 7)));
    }
}
