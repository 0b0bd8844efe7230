//! What stays: every backup of a target, and why it does. Pure.
//!
//! A backup goes only if nothing at all speaks for it. Whoever tricks one rule (a clock, a level, a row of failed runs)
//! still meets the others.

use crate::api::target::{AsideStatus, Retention, TargetBackupStatus, VerificationLevel};
use jiff::{SignedDuration, Timestamp};
use std::fmt;

/// A backup that is dated later than this was dated by a wrong clock.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);
/// How long what a restore put aside stays where `keepFor` says nothing: over a weekend and the days after.
const ASIDE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Why a backup stays, or that nothing keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A run may need it.
    Pinned(String),
    /// No newer one proves as much.
    Proof,
    /// One of the newest `keepLast`.
    KeepLast,
    /// Younger than `keepFor`.
    KeepFor {
        /// Until then.
        until: Timestamp,
    },
    /// Dated in the future: by a clock that was wrong, and nothing can be said of its age.
    Future,
    /// Nobody can prove whose it is.
    Unknown,
    /// Nothing keeps it.
    Expired,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned(by) => write!(f, "pinned by {by}"),
            Self::Proof => f.write_str("no newer one proves as much"),
            Self::KeepLast => f.write_str("one of the newest keepLast"),
            Self::KeepFor { until } => write!(f, "keepFor keeps it until {until}"),
            Self::Future => f.write_str("dated in the future"),
            Self::Unknown => f.write_str("the uid of its plan or the SHA-256 of its manifest is not known"),
            Self::Expired => f.write_str("neither keepLast nor keepFor keeps it"),
        }
    }
}

/// The fate of each backup, in the order given. `going` are paths whose deletion has begun: they are no backups any
/// more, so they speak for themselves as expired and stand in for no other.
///
/// `keepLast` counts proven backups among proven ones: a row of runs whose backups proved nothing pushes none of them
/// out.
pub fn fates(
    retention: &Retention,
    backups: &[TargetBackupStatus],
    going: &[String],
    now: Timestamp,
) -> Vec<Fate> {
    let latest = now.saturating_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
    let counts = |backup: &TargetBackupStatus| {
        backup.at.0 <= latest && backup.not_deleted.is_none() && !going.contains(&backup.path)
    };
    let keep_last = retention.keep_last.map_or(0, |it| usize::try_from(it).unwrap_or(usize::MAX));
    let keep_for =
        retention.keep_for.map(|it| SignedDuration::try_from(it.get()).unwrap_or(SignedDuration::MAX));
    let fate = |index: usize, backup: &TargetBackupStatus| {
        if going.contains(&backup.path) {
            return Fate::Expired;
        }
        if let Some(by) = &backup.pinned_by {
            return Fate::Pinned(by.clone());
        }
        if backup.at.0 > latest {
            return Fate::Future;
        }
        let newer = || {
            let all = backups.iter().enumerate().filter(|(_, other)| counts(other));
            all.filter(move |(place, other)| (other.at.0, index) > (backup.at.0, *place)).map(|(_, it)| it)
        };
        if !newer().any(|other| other.level >= backup.level) {
            return Fate::Proof;
        }
        let proven = |it: &TargetBackupStatus| it.level > VerificationLevel::None;
        if newer().filter(|other| proven(other) >= proven(backup)).count() < keep_last {
            return Fate::KeepLast;
        }
        if let Some(keep_for) = keep_for {
            let until = backup.at.0.saturating_add(keep_for).unwrap_or(Timestamp::MAX);
            if now < until {
                return Fate::KeepFor { until };
            }
        }
        if backup.plan_uid.is_none() || backup.sha256.is_empty() {
            return Fate::Unknown;
        }
        Fate::Expired
    };
    backups.iter().enumerate().map(|(index, backup)| fate(index, backup)).collect()
}

/// Until when what a restore put aside stays: as long as `keepFor` keeps a backup, else a week.
pub fn aside_until(retention: &Retention, aside: &AsideStatus) -> Timestamp {
    let keep_for =
        retention.keep_for.map(|it| SignedDuration::try_from(it.get()).unwrap_or(SignedDuration::MAX));
    aside.at.0.saturating_add(keep_for.unwrap_or(ASIDE)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Duration, Time};
    use proptest::prelude::*;

    const DAY: i64 = 24 * 3600;

    fn backup(day: i64, level: VerificationLevel) -> TargetBackupStatus {
        TargetBackupStatus {
            run: format!("shop-{day}"),
            plan_uid: Some("p".into()),
            path: format!("shop/{day}/tas-1"),
            at: Time(Timestamp::from_second(day * DAY).unwrap()),
            level,
            bytes: 1,
            sha256: format!("{day:064x}"),
            pinned_by: None,
            not_deleted: None,
        }
    }

    fn keep(last: Option<u32>, days: Option<u64>) -> Retention {
        Retention { keep_last: last, keep_for: days.map(|it| Duration::from_secs(it * 24 * 3600)) }
    }

    fn on(day: i64) -> Timestamp {
        Timestamp::from_second(day * DAY).unwrap()
    }

    /// The days of those that go.
    fn gone(retention: &Retention, backups: &[TargetBackupStatus], now: Timestamp) -> Vec<i64> {
        let fates = fates(retention, backups, &[], now);
        let gone = backups.iter().zip(fates).filter(|(_, fate)| *fate == Fate::Expired);
        gone.map(|(it, _)| it.at.0.as_second() / DAY).collect()
    }

    use VerificationLevel::{Artifact, None as Nothing, Restored, Structure};

    #[test]
    fn either_rule_keeps() {
        let all: Vec<_> = (1..=6).map(|day| backup(day, Structure)).collect();
        assert_eq!(gone(&keep(Some(2), None), &all, on(7)), [1, 2, 3, 4]);
        assert_eq!(gone(&keep(None, Some(3)), &all, on(7)), [1, 2, 3, 4], "exactly three days is over");
        assert_eq!(gone(&keep(Some(5), Some(3)), &all, on(7)), [1]);
        assert_eq!(gone(&keep(Some(1), Some(6)), &all, on(7)), [1]);
        assert_eq!(gone(&keep(None, Some(1)), &all, on(100)), [1, 2, 3, 4, 5], "the last one stays for ever");
    }

    #[test]
    fn a_row_of_backups_that_proved_nothing_pushes_no_proven_one_out() {
        let all = [
            backup(1, Restored),
            backup(2, Structure),
            backup(3, Nothing),
            backup(4, Nothing),
            backup(5, Nothing),
        ];
        assert_eq!(gone(&keep(Some(2), None), &all, on(9)), [3]);
        assert_eq!(gone(&keep(Some(1), None), &all, on(9)), [3, 4], "1 was restored, 2 is the last proven");
        assert_eq!(fates(&keep(Some(1), None), &all, &[], on(9))[0], Fate::Proof);
    }

    #[test]
    fn wrong_clocks_delete_nothing_that_is_young() {
        let mut all: Vec<_> = (1..=3).map(|day| backup(day, Structure)).collect();
        all.push(backup(4000, Restored));
        assert_eq!(gone(&keep(Some(1), None), &all, on(4)), [1, 2], "that of the future stands for no other");
        assert_eq!(fates(&keep(Some(1), None), &all, &[], on(4))[3], Fate::Future);
        assert_eq!(
            gone(&keep(None, Some(1)), &all[..3], on(-9000)),
            Vec::<i64>::new(),
            "all are of the future"
        );
    }

    #[test]
    fn what_nobody_can_prove_stays() {
        let mut all: Vec<_> = (1..=4).map(|day| backup(day, Artifact)).collect();
        all[0].plan_uid = None;
        all[1].sha256.clear();
        assert_eq!(gone(&keep(Some(1), None), &all, on(9)), [3]);
    }

    #[test]
    fn what_could_not_be_deleted_stands_in_for_no_other() {
        let mut all = [backup(1, Structure), backup(2, Structure)];
        all[1].not_deleted = Some("another manifest".into());
        assert_eq!(gone(&keep(Some(1), None), &all, on(9)), Vec::<i64>::new());
        let going = [all[1].path.clone()];
        all[1].not_deleted = None;
        assert_eq!(fates(&keep(Some(1), None), &all, &going, on(9)), [Fate::Proof, Fate::Expired]);
    }

    #[test]
    fn what_was_put_aside_stays_as_long_as_a_backup_or_a_week() {
        let aside = AsideStatus {
            name: "wb_1_r1".into(),
            run: "shop-1".into(),
            run_uid: "r1".into(),
            at: Time(on(10)),
            dropping_since: None,
            not_dropped: None,
        };
        assert_eq!(aside_until(&keep(None, Some(2)), &aside), on(12));
        assert_eq!(aside_until(&keep(Some(9), None), &aside), on(17));
    }

    fn any_backup() -> impl Strategy<Value = TargetBackupStatus> {
        (-5..60i64, 0..4usize, prop::option::of(Just(())), 0..12u8).prop_map(|(day, level, pin, odd)| {
            let mut it = backup(day, VerificationLevel::ALL[level]);
            it.pinned_by = pin.filter(|()| odd % 3 == 0).map(|()| "shop-9".into());
            if odd == 1 {
                it.plan_uid = None;
            }
            if odd == 2 {
                it.not_deleted = Some("why".into());
            }
            it
        })
    }

    fn rules() -> impl Strategy<Value = Retention> {
        (prop::option::of(1..6u32), prop::option::of(1..40u64))
            .prop_filter("one of them", |(last, days)| last.is_some() || days.is_some())
            .prop_map(|(last, days)| keep(last, days))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

        #[test]
        fn whatever_goes_was_free_to_go(backups in prop::collection::vec(any_backup(), 0..24), rules in rules(), today in -10..70i64) {
            let now = on(today);
            let fates = fates(&rules, &backups, &[], now);
            let (gone, kept): (Vec<_>, Vec<_>) = backups.iter().zip(&fates).partition(|(_, fate)| **fate == Fate::Expired);
            for (it, _) in &gone {
                prop_assert!(it.pinned_by.is_none(), "pinned: {it:?}");
                prop_assert!(it.at.0 <= now, "dated in the future: {it:?}");
                prop_assert!(it.plan_uid.is_some(), "nobody's: {it:?}");
                if let Some(days) = rules.keep_for {
                    let age = now.duration_since(it.at.0);
                    prop_assert!(age >= SignedDuration::try_from(days.get()).unwrap(), "young: {it:?}");
                }
                // Something at least as new and as proven stays, and is really there.
                let stands_in = kept.iter().any(|(other, fate)| {
                    other.at.0 >= it.at.0 && other.level >= it.level && other.not_deleted.is_none() && **fate != Fate::Future
                });
                prop_assert!(stands_in, "the last that proved so much: {it:?}");
                // keepLast of the same or a better kind stay beside it.
                let proven = |it: &TargetBackupStatus| it.level > Nothing;
                let newer = kept.iter().filter(|(other, _)| other.at.0 >= it.at.0 && proven(other) >= proven(it)).count();
                prop_assert!(newer >= rules.keep_last.unwrap_or(0) as usize, "keepLast: {it:?}");
            }
            // What is left is left: the same look again deletes nothing more.
            let left: Vec<_> = kept.into_iter().map(|(it, _)| it.clone()).collect();
            prop_assert!(!super::fates(&rules, &left, &[], now).contains(&Fate::Expired));
        }

        #[test]
        fn later_never_keeps_more_and_a_clock_that_jumps_back_never_less(
            backups in prop::collection::vec(any_backup(), 0..16), rules in rules(), today in 60..90i64, jump in 0..30i64,
        ) {
            let (early, late) = (gone(&rules, &backups, on(today)), gone(&rules, &backups, on(today + jump)));
            prop_assert!(early.iter().all(|day| late.contains(day)));
        }
    }
}
