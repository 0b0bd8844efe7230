//! When the windows of a plan are open. Pure: the instant is an argument, the time zones are compiled in.
//!
//! A window is what a clock on the wall shows. On the days on which that clock is changed:
//! - a `from` or `to` that the clock skips is the instant of the change; a window that it skips as a whole does not open
//!   on that day;
//! - a time that the clock shows twice is the first of the two: a window opens once.

use super::{Day, Window};
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp, ToSpan};

/// Days looked at before today (a window past midnight, a zone on the other side of the date line) and after: a week
/// and its neighbour, since a day may be left out by a change of the clock.
const DAYS: std::ops::RangeInclusive<i32> = -2..=15;

/// The windows of a plan, read once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(Vec<Read>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    days: Vec<Weekday>,
    from: Time,
    to: Time,
    zone: TimeZone,
    name: String,
}

/// Whether a run may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A window is open, until then if it ever closes; a plan without windows is always open.
    Open(Option<Timestamp>),
    /// None is open; this one opens next, if one ever does.
    Closed(Option<Opening>),
}

/// The next time at which a window opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// When.
    pub at: Timestamp,
    /// The same as a clock in the window's zone shows it: `Sat 2026-11-28 01:00 Europe/Berlin`.
    pub shown: String,
}

/// A window that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// No time of the day.
    #[error("spec.windows[{place}].{field}: {text:?} is no time of the day; write HH:MM, such as 01:30")]
    Time {
        /// Its place in the list.
        place: usize,
        /// `from` or `to`.
        field: &'static str,
        /// What was written.
        text: String,
    },
    /// No time zone.
    #[error(
        "spec.windows[{place}].timeZone: the time zone database has no {name:?}; write a name of it, such as Europe/Berlin or UTC"
    )]
    Zone {
        /// Its place in the list.
        place: usize,
        /// What was written.
        name: String,
    },
}

impl Windows {
    /// Reads the windows of a plan.
    ///
    /// # Errors
    /// The first one that no clock could show.
    pub fn read(windows: &[Window]) -> Result<Self, BadWindow> {
        let zones = TimeZoneDatabase::bundled();
        let read = |(place, window): (usize, &Window)| {
            let time = |field: &'static str, text: &str| {
                let bad = || BadWindow::Time { place, field, text: text.to_owned() };
                Time::strptime("%H:%M", text).ok().filter(|_| text.len() == 5).ok_or_else(bad)
            };
            let name = window.time_zone.clone();
            Ok(Read {
                days: window.days.iter().copied().map(weekday).collect(),
                from: time("from", &window.from)?,
                to: time("to", &window.to)?,
                zone: zones.get(&name).map_err(|_| BadWindow::Zone { place, name: name.clone() })?,
                name,
            })
        };
        windows.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How they stand at `now`. Windows that touch or overlap are one.
    pub fn at(&self, now: Timestamp) -> Standing {
        if self.is_empty() {
            return Standing::Open(None);
        }
        let mut all: Vec<(Timestamp, Timestamp, &Read)> =
            self.0.iter().flat_map(|window| window.around(now)).collect();
        all.sort_by_key(|(opens, closes, _)| (*opens, *closes));
        let mut open_until: Option<Timestamp> = None;
        for (opens, closes, window) in all.into_iter().filter(|(_, closes, _)| now < *closes) {
            match open_until {
                None if opens <= now => open_until = Some(closes),
                Some(until) if opens <= until => open_until = Some(until.max(closes)),
                Some(_) => break,
                None => return Standing::Closed(Some(window.opening(opens))),
            }
        }
        open_until.map_or(Standing::Closed(None), |until| Standing::Open(Some(until)))
    }
}

impl Read {
    /// When it opens and closes on the days around `now`.
    fn around(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp, &Self)> {
        let today = now.to_zoned(self.zone.clone()).date();
        DAYS.filter_map(move |day| {
            let date = today.checked_add(Span::new().days(day)).ok()?;
            let on = self.days.is_empty() || self.days.contains(&date.weekday());
            let (opens, closes) = if on { self.on(date)? } else { return None };
            (opens < closes).then_some((opens, closes, self))
        })
    }

    fn on(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        let ends = if self.to > self.from { date } else { date.checked_add(1.day()).ok()? };
        Some((
            instant(&self.zone, date.to_datetime(self.from))?,
            instant(&self.zone, ends.to_datetime(self.to))?,
        ))
    }

    fn opening(&self, at: Timestamp) -> Opening {
        let shown = at.to_zoned(self.zone.clone()).strftime("%a %Y-%m-%d %H:%M").to_string();
        Opening { at, shown: format!("{shown} {}", self.name) }
    }
}

/// The instant at which a clock shows this: the first if it does so twice, that of the change if it never does.
fn instant(zone: &TimeZone, shown: DateTime) -> Option<Timestamp> {
    let there = zone.to_ambiguous_timestamp(shown);
    let AmbiguousOffset::Gap { before, .. } = there.offset() else { return there.compatible().ok() };
    let unchanged = before.to_timestamp(shown).ok()?;
    let after = unchanged.checked_add(1.nanosecond()).ok()?;
    zone.preceding(after).next().map(|change| change.timestamp())
}

fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(yaml: &str) -> Windows {
        Windows::read(&serde_saphyr::from_str::<Vec<Window>>(yaml).unwrap()).unwrap()
    }

    /// `open until …`, `opens …` or `never`, in UTC.
    fn at(windows: &Windows, now: &str) -> String {
        match windows.at(now.parse().unwrap()) {
            Standing::Open(until) => until.map_or("open".into(), |until| format!("open until {until}")),
            Standing::Closed(Some(opening)) => format!("opens {} = {}", opening.at, opening.shown),
            Standing::Closed(None) => "never".into(),
        }
    }

    #[test]
    fn a_plan_without_windows_is_always_open() {
        assert_eq!(at(&windows("[]"), "2026-11-21T00:00:00Z"), "open");
    }

    #[test]
    fn a_window_is_in_the_time_of_its_zone() {
        let night = windows("[{days: [Sat], from: '01:00', to: '04:00', timeZone: Europe/Berlin}]");
        for (now, then) in [
            ("2026-11-20T23:59:59Z", "opens 2026-11-21T00:00:00Z = Sat 2026-11-21 01:00 Europe/Berlin"),
            ("2026-11-21T00:00:00Z", "open until 2026-11-21T03:00:00Z"),
            ("2026-11-21T02:59:59Z", "open until 2026-11-21T03:00:00Z"),
            ("2026-11-21T03:00:00Z", "opens 2026-11-28T00:00:00Z = Sat 2026-11-28 01:00 Europe/Berlin"),
            ("2026-07-10T12:00:00Z", "opens 2026-07-10T23:00:00Z = Sat 2026-07-11 01:00 Europe/Berlin"),
        ] {
            assert_eq!(at(&night, now), then, "{now}");
        }
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_on_which_it_opens() {
        let night = windows("[{days: [Fri], from: '22:00', to: '02:00', timeZone: America/New_York}]");
        assert_eq!(at(&night, "2026-11-21T06:59:00Z"), "open until 2026-11-21T07:00:00Z");
        assert_eq!(
            at(&night, "2026-11-22T04:00:00Z"),
            "opens 2026-11-28T03:00:00Z = Fri 2026-11-27 22:00 America/New_York"
        );
        let day = windows("[{days: [Mon], from: '06:00', to: '06:00', timeZone: UTC}]");
        assert_eq!(at(&day, "2026-11-24T05:59:59Z"), "open until 2026-11-24T06:00:00Z", "a whole day");
    }

    #[test]
    fn several_windows_are_one_where_they_touch() {
        let both = windows(
            "[{from: '23:00', to: '01:00', timeZone: UTC}, {from: '01:00', to: '02:00', timeZone: UTC}, {from: '01:30', to: '01:40', timeZone: UTC}]",
        );
        assert_eq!(at(&both, "2026-11-21T23:30:00Z"), "open until 2026-11-22T02:00:00Z");
        assert_eq!(
            at(&both, "2026-11-22T02:00:00Z"),
            "opens 2026-11-22T23:00:00Z = Sun 2026-11-22 23:00 UTC"
        );
        let always = windows("[{from: '00:00', to: '00:00', timeZone: UTC}]");
        assert_eq!(
            at(&always, "2026-11-21T23:30:00Z"),
            "open until 2026-12-07T00:00:00Z",
            "as far as is looked"
        );
    }

    #[test]
    fn what_the_clock_skips_is_the_instant_of_the_change() {
        // 2026-03-29: 02:00 becomes 03:00 in Berlin, at 01:00Z.
        let half = windows("[{from: '02:30', to: '04:00', timeZone: Europe/Berlin}]");
        assert_eq!(
            at(&half, "2026-03-29T00:00:00Z"),
            "opens 2026-03-29T01:00:00Z = Sun 2026-03-29 03:00 Europe/Berlin"
        );
        assert_eq!(at(&half, "2026-03-29T01:00:00Z"), "open until 2026-03-29T02:00:00Z");
        let ends = windows("[{from: '01:00', to: '02:30', timeZone: Europe/Berlin}]");
        assert_eq!(at(&ends, "2026-03-29T00:00:00Z"), "open until 2026-03-29T01:00:00Z");
        let whole = windows("[{days: [Sun], from: '02:15', to: '02:45', timeZone: Europe/Berlin}]");
        assert_eq!(
            at(&whole, "2026-03-28T00:00:00Z"),
            "opens 2026-04-05T00:15:00Z = Sun 2026-04-05 02:15 Europe/Berlin",
            "on that Sunday it does not open"
        );
    }

    #[test]
    fn what_the_clock_shows_twice_opens_once() {
        // 2026-10-25: 03:00 becomes 02:00 in Berlin, at 01:00Z.
        let twice = windows("[{from: '02:15', to: '02:45', timeZone: Europe/Berlin}]");
        assert_eq!(at(&twice, "2026-10-25T00:20:00Z"), "open until 2026-10-25T00:45:00Z");
        assert_eq!(
            at(&twice, "2026-10-25T01:20:00Z"),
            "opens 2026-10-26T01:15:00Z = Mon 2026-10-26 02:15 Europe/Berlin"
        );
        let around = windows("[{from: '01:00', to: '04:00', timeZone: Europe/Berlin}]");
        assert_eq!(at(&around, "2026-10-24T23:00:00Z"), "open until 2026-10-25T03:00:00Z", "four hours");
    }

    #[test]
    fn what_no_clock_shows_is_named() {
        let bad = |from: &str, zone: &str| {
            let window =
                Window { days: vec![], from: from.into(), to: "02:00".into(), time_zone: zone.into() };
            Windows::read(&[window]).unwrap_err().to_string()
        };
        assert_eq!(
            bad("24:30", "UTC"),
            r#"spec.windows[0].from: "24:30" is no time of the day; write HH:MM, such as 01:30"#
        );
        assert_eq!(
            bad("01:30", "Europe/Bärlin"),
            r#"spec.windows[0].timeZone: the time zone database has no "Europe/Bärlin"; write a name of it, such as Europe/Berlin or UTC"#
        );
    }
}
