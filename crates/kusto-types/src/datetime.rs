//! Kusto's datetime: 100 ns ticks since 0001-01-01T00:00:00 UTC, up to the end of
//! year 9999, and the texts that it is read from and printed as.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use std::fmt;

/// Ticks of 100 ns in one second.
pub const TICKS_PER_SECOND: i64 = 10_000_000;
/// Ticks of 100 ns in one day.
pub const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
/// Ticks at 1970-01-01T00:00:00Z.
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;
/// One past the last tick of year 9999.
const END_TICKS: i64 = 3_155_378_976_000_000_000;

/// An instant, in 100 ns ticks since 0001-01-01 UTC (.NET's `DateTime.Ticks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateTime(i64);

impl DateTime {
    /// From ticks; `None` outside years 1 to 9999.
    pub fn from_ticks(ticks: i64) -> Option<Self> {
        (0..END_TICKS).contains(&ticks).then_some(Self(ticks))
    }

    /// From nanoseconds since 1970, rounded down to a tick.
    pub fn from_unix_nanos(nanos: i128) -> Option<Self> {
        let ticks = nanos.div_euclid(100) + i128::from(UNIX_EPOCH_TICKS);
        i64::try_from(ticks).ok().and_then(Self::from_ticks)
    }

    /// Reads the system clock.
    pub fn now() -> Self {
        let now = chrono::Utc::now();
        let nanos = i128::from(now.timestamp()) * 1_000_000_000 + i128::from(now.timestamp_subsec_nanos());
        Self::from_unix_nanos(nanos).unwrap_or(Self(UNIX_EPOCH_TICKS))
    }

    /// Ticks since 0001-01-01.
    pub fn ticks(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 (negative before).
    pub fn unix_seconds(self) -> i64 {
        (self.0 - UNIX_EPOCH_TICKS).div_euclid(TICKS_PER_SECOND)
    }

    /// Nanoseconds since 1970.
    pub fn unix_nanos(self) -> i128 {
        i128::from(self.0 - UNIX_EPOCH_TICKS) * 100
    }

    /// Year, month and day.
    pub fn date(self) -> (i32, u32, u32) {
        let naive = self.naive();
        (naive.year(), naive.month(), naive.day())
    }

    fn naive(self) -> NaiveDateTime {
        let days = self.0.div_euclid(TICKS_PER_DAY);
        let rest = self.0.rem_euclid(TICKS_PER_DAY);
        let date = NaiveDate::from_num_days_from_ce_opt(days as i32 + 1).unwrap_or(NaiveDate::MIN);
        let seconds = (rest / TICKS_PER_SECOND) as u32;
        let nanos = (rest % TICKS_PER_SECOND) as u32 * 100;
        date.and_time(NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos).unwrap_or(NaiveTime::MIN))
    }

    fn from_naive(naive: NaiveDateTime, offset_seconds: i64) -> Option<Self> {
        let days = i64::from(naive.date().num_days_from_ce()) - 1;
        let seconds = i64::from(naive.time().num_seconds_from_midnight()) - offset_seconds;
        let ticks = days
            .checked_mul(TICKS_PER_DAY)?
            .checked_add(seconds * TICKS_PER_SECOND + i64::from(naive.nanosecond() % 1_000_000_000) / 100)?;
        Self::from_ticks(ticks)
    }

    /// Reads the texts that Kusto reads: ISO 8601 with `T` or a space, seconds,
    /// fraction and zone optional; a date alone, also as `yyyyMMdd` or `MM/dd/yyyy`;
    /// RFC 822 and RFC 850. Without a zone it is UTC. Digits beyond 100 ns are cut.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        Self::parse_iso(text).or_else(|| Self::parse_loose(text))
    }

    /// The fast path: `yyyy-MM-dd[( |T)HH:mm[:ss[.fffffff]][Z|±hh:mm]]`.
    fn parse_iso(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<u32> {
            bytes
                .get(range)?
                .iter()
                .try_fold(0u32, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0')))
        };
        let date = NaiveDate::from_ymd_opt(number(0..4)? as i32, number(5..7)?, number(8..10)?)?;
        let mut at = 10;
        let (mut hour, mut minute, mut second, mut nanos) = (0, 0, 0, 0u32);
        if at < bytes.len() && matches!(bytes[at], b'T' | b't' | b' ') {
            hour = number(11..13)?;
            if *bytes.get(13)? != b':' {
                return None;
            }
            minute = number(14..16)?;
            at = 16;
            if bytes.get(at) == Some(&b':') {
                second = number(17..19)?;
                at = 19;
                if bytes.get(at) == Some(&b'.') {
                    at += 1;
                    let start = at;
                    let mut scale = 100_000_000;
                    while let Some(digit) = bytes.get(at).filter(|b| b.is_ascii_digit()) {
                        nanos += u32::from(digit - b'0') * scale;
                        scale /= 10;
                        at += 1;
                    }
                    if at == start {
                        return None;
                    }
                }
            }
        }
        let mut offset = 0i64;
        match bytes.get(at) {
            None => {}
            Some(b'Z' | b'z') => at += 1,
            Some(sign @ (b'+' | b'-')) => {
                let hours = i64::from(number(at + 1..at + 3)?);
                let rest = if bytes.get(at + 3) == Some(&b':') { at + 4 } else { at + 3 };
                let minutes = if rest < bytes.len() { i64::from(number(rest..rest + 2)?) } else { 0 };
                at = if rest < bytes.len() { rest + 2 } else { rest };
                offset = (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 };
            }
            Some(_) => return None,
        }
        if at != bytes.len() || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Self::from_naive(date.and_time(NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?), offset)
    }

    fn parse_loose(text: &str) -> Option<Self> {
        if let Ok(at) = chrono::DateTime::parse_from_rfc2822(text) {
            return Self::from_naive(at.naive_utc(), 0);
        }
        for layout in
            ["%A, %d-%b-%y %H:%M:%S GMT", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M"]
        {
            if let Ok(at) = NaiveDateTime::parse_from_str(text, layout) {
                return Self::from_naive(at, 0);
            }
        }
        for layout in ["%m/%d/%Y", "%Y%m%d", "%Y-%m", "%Y/%m/%d"] {
            let (text, layout) = if layout == "%Y-%m" {
                (format!("{text}-01"), "%Y-%m-%d")
            } else {
                (text.to_owned(), layout)
            };
            if layout == "%Y%m%d" && text.len() != 8 {
                continue;
            }
            if let Ok(date) = NaiveDate::parse_from_str(&text, layout) {
                return Self::from_naive(date.and_time(NaiveTime::MIN), 0);
            }
        }
        None
    }
}

/// Prints as results do: `2013-01-01T10:00:00Z`, with seven fractional digits when
/// there is a fraction.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let naive = self.naive();
        let fraction = self.0.rem_euclid(TICKS_PER_SECOND);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            naive.year(),
            naive.month(),
            naive.day(),
            naive.hour(),
            naive.minute(),
            naive.second()
        )?;
        if fraction == 0 { f.write_str("Z") } else { write!(f, ".{fraction:07}Z") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_texts_read_and_print() {
        for (text, printed) in [
            ("2013-01-01T10:00:00Z", "2013-01-01T10:00:00Z"),
            ("2013-01-01 10:00", "2013-01-01T10:00:00Z"),
            ("2013-01-01", "2013-01-01T00:00:00Z"),
            ("2019-05-02T15:23:50.0369439Z", "2019-05-02T15:23:50.0369439Z"),
            ("2019-05-02T15:23:50.03694391234Z", "2019-05-02T15:23:50.0369439Z"),
            ("2019-05-02T15:23:50+02:00", "2019-05-02T13:23:50Z"),
            ("0001-01-01", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.9999999Z"),
            ("Sat, 08 Nov 2014 15:05:02 GMT", "2014-11-08T15:05:02Z"),
            ("Saturday, 08-Nov-14 15:05:02 GMT", "2014-11-08T15:05:02Z"),
            ("20140108", "2014-01-08T00:00:00Z"),
            ("01/31/2014", "2014-01-31T00:00:00Z"),
        ] {
            let read = DateTime::parse(text).unwrap_or_else(|| panic!("{text} does not read"));
            assert_eq!(read.to_string(), printed, "{text}");
            assert_eq!(DateTime::parse(printed), Some(read), "{printed}");
        }
    }

    #[test]
    fn texts_that_are_no_instant_are_none() {
        for text in [
            "",
            "NA",
            "2013-13-01",
            "2013-02-30",
            "12",
            "2013-01-01T25:00",
            "2013-01-01Tx",
            "10000-01-01",
            "é013-01-01",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn unix_times_convert() {
        let at = DateTime::from_unix_nanos(1_517_966_773_840_000_000).unwrap();
        assert_eq!(at.to_string(), "2018-02-07T01:26:13.8400000Z");
        assert_eq!(at.unix_seconds(), 1_517_966_773);
        assert_eq!(DateTime::from_unix_nanos(i128::MAX), None);
    }
}
