//! Where an event lies: the hour it is filed under, and the names of its folder and file.
//!
//! In: times, a lane's name, a generation. Out: `lane=<lane>/date=<YYYY-MM-DD>/hour=<HH>` and
//! `part-<generation>-<number>.ndjson`, UTC. Pure arithmetic; never a name that a client chose.

use super::Settings;

const HOUR_MS: i64 = 3_600_000;

/// How far an event's time may lie from its arrival.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    past_ms: i64,
    future_ms: i64,
}

/// The window around one batch's arrival.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "units stand last in every name")]
pub(super) struct Hours {
    from_ms: i64,
    to_ms: i64,
    arrival_ms: i64,
}

impl Window {
    pub(super) fn new(settings: &Settings) -> Self {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        Self {
            past_ms: signed(settings.window_past_ms),
            future_ms: signed(settings.window_future_ms),
        }
    }

    pub(super) fn around(self, arrival_ms: i64) -> Hours {
        Hours {
            from_ms: arrival_ms.saturating_sub(self.past_ms),
            to_ms: arrival_ms.saturating_add(self.future_ms),
            arrival_ms,
        }
    }
}

impl Hours {
    /// The hour, counted from 1970, under which an event of this time is filed.
    pub(super) fn of(self, ts_ms: i64) -> i64 {
        let inside = self.from_ms <= ts_ms && ts_ms <= self.to_ms;
        (if inside { ts_ms } else { self.arrival_ms }).div_euclid(HOUR_MS)
    }
}

/// The folder of a lane's hour, relative to the store.
pub(super) fn folder(lane: &str, hour: i64) -> String {
    let (year, month, day) = civil(hour.div_euclid(24));
    format!("lane={lane}/date={year:04}-{month:02}-{day:02}/hour={:02}", hour.rem_euclid(24))
}

/// The name of a file; padded, so that names sort as the files were made.
pub(super) fn file_name(generation: u64, number: u64) -> String {
    format!("part-{generation:08}-{number:06}.ndjson")
}

/// The generation in a name that [`file_name`] made; `None` for anybody else's file.
pub(super) fn generation(name: &str) -> Option<u64> {
    let (generation, number) =
        name.strip_prefix("part-")?.strip_suffix(".ndjson")?.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(generation) || !digits(number) || number.is_empty() {
        return None;
    }
    generation.parse().ok()
}

/// The Gregorian date of a day counted from 1970. Years are taken to begin in March, so that the
/// leap day is the last of its year, and 400 years are one era of 146,097 days.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let date = of_year - (153 * march_month + 2) / 5 + 1;
    (era * 400 + year + i64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_782, (2024, 2, 29)),
            (20_454, (2026, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(day), date, "day {day}");
        }
    }

    #[test]
    fn every_day_of_800_years_follows_the_one_before() {
        let mut before = civil(-146_097);
        for day in -146_096..146_097 {
            let (year, month, date) = civil(day);
            let next_date = (year, month, date) == (before.0, before.1, before.2 + 1);
            let next_month = date == 1 && month == before.1 % 12 + 1 && before.2 >= 28;
            assert!(next_date || next_month, "{before:?} then {:?}", (year, month, date));
            before = (year, month, date);
        }
    }

    #[test]
    fn times_outside_the_window_are_filed_under_the_arrival() {
        let arrival_ms = 1_767_225_600_000;
        let hours = Window::new(&Settings::default()).around(arrival_ms);
        let arrival = arrival_ms / HOUR_MS;
        for (ts_ms, hour) in [
            (arrival_ms - 1, arrival - 1),
            (arrival_ms - 7 * 86_400_000, arrival - 7 * 24),
            (arrival_ms - 7 * 86_400_000 - 1, arrival),
            (arrival_ms + 86_400_000, arrival + 24),
            (arrival_ms + 86_400_001, arrival),
            (i64::MIN, arrival),
            (i64::MAX, arrival),
            (0, arrival),
        ] {
            assert_eq!(hours.of(ts_ms), hour, "{ts_ms}");
        }
        let wide = Window { past_ms: i64::MAX, future_ms: i64::MAX };
        assert_eq!(wide.around(i64::MIN).of(i64::MIN), i64::MIN.div_euclid(HOUR_MS));
    }

    #[test]
    fn names_say_lane_hour_and_generation() {
        assert_eq!(folder("page.view", 490_896), "lane=page.view/date=2026-01-01/hour=00");
        assert_eq!(folder("a", -1), "lane=a/date=1969-12-31/hour=23");
        assert_eq!(file_name(7, 3), "part-00000007-000003.ndjson");
        for (name, found) in [
            (file_name(7, 3), Some(7)),
            (file_name(u64::MAX, 1), Some(u64::MAX)),
            ("part-7-3.ndjson".to_owned(), Some(7)),
            ("part-7.ndjson".to_owned(), None),
            ("part-7-.ndjson".to_owned(), None),
            ("part-+7-3.ndjson".to_owned(), None),
            ("part-7-3.ndjson.bak".to_owned(), None),
            ("merged.ndjson".to_owned(), None),
        ] {
            assert_eq!(generation(&name), found, "{name}");
        }
    }
}
