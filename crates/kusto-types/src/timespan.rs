//! Kusto's timespan: a signed duration in 100 ns ticks, printed as .NET prints it.

use crate::{TICKS_PER_DAY, TICKS_PER_SECOND};
use std::fmt;
use std::time::Duration;

/// A signed duration in 100 ns ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timespan(pub i64);

impl Timespan {
    /// The duration, when it is not negative.
    pub fn to_duration(self) -> Option<Duration> {
        let ticks = u64::try_from(self.0).ok()?;
        Some(Duration::new(ticks / TICKS_PER_SECOND as u64, (ticks % TICKS_PER_SECOND as u64) as u32 * 100))
    }

    /// From a duration, capped at the largest timespan.
    pub fn from_duration(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX))
    }

    /// Reads `[-][d.]hh:mm[:ss[.fffffff]]`, a bare number of days, or a KQL literal
    /// (`2d`, `1.5h`, `10s`, `100ms`, `10microsecond`, `1tick`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, body) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        let ticks = if body.contains(':') { Self::parse_clock(body)? } else { Self::parse_unit(body)? };
        Some(Self(if negative { -ticks } else { ticks }))
    }

    fn parse_clock(text: &str) -> Option<i64> {
        let mut parts = text.split(':');
        let (first, minutes, seconds, extra) = (parts.next()?, parts.next()?, parts.next(), parts.next());
        if extra.is_some() {
            return None;
        }
        let (days, hours) = match first.split_once('.') {
            Some((days, hours)) => (days.parse::<i64>().ok()?, hours.parse::<i64>().ok()?),
            None => (0, first.parse::<i64>().ok()?),
        };
        let minutes = minutes.parse::<i64>().ok()?;
        let (seconds, fraction) = match seconds {
            None => (0, 0),
            Some(seconds) => match seconds.split_once('.') {
                None => (seconds.parse::<i64>().ok()?, 0),
                Some((whole, digits)) => {
                    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                        return None;
                    }
                    let seven: String = digits.chars().chain("0000000".chars()).take(7).collect();
                    (whole.parse::<i64>().ok()?, seven.parse::<i64>().ok()?)
                }
            },
        };
        let in_range =
            days >= 0 && (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
        if !in_range {
            return None;
        }
        days.checked_mul(TICKS_PER_DAY)?
            .checked_add((hours * 3600 + minutes * 60 + seconds) * TICKS_PER_SECOND + fraction)
    }

    fn parse_unit(text: &str) -> Option<i64> {
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let number: f64 = text[..split].trim().parse().ok()?;
        let unit = match text[split..].to_ascii_lowercase().as_str() {
            "" | "d" | "day" | "days" => TICKS_PER_DAY,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600 * TICKS_PER_SECOND,
            "m" | "min" | "minute" | "minutes" => 60 * TICKS_PER_SECOND,
            "s" | "sec" | "second" | "seconds" => TICKS_PER_SECOND,
            "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => TICKS_PER_SECOND / 1000,
            "micro" | "micros" | "microsecond" | "microseconds" => 10,
            "tick" | "ticks" => 1,
            _ => return None,
        };
        let ticks = number * unit as f64;
        (ticks.is_finite() && ticks.abs() < i64::MAX as f64).then(|| ticks.round() as i64)
    }
}

/// Prints `[-][d.]hh:mm:ss[.fffffff]`.
impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticks = self.0.unsigned_abs();
        let (day, second) = (TICKS_PER_DAY as u64, TICKS_PER_SECOND as u64);
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if ticks >= day {
            write!(f, "{}.", ticks / day)?;
        }
        let seconds = ticks % day / second;
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if !ticks.is_multiple_of(second) { write!(f, ".{:07}", ticks % second) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_and_print() {
        for (text, printed) in [
            ("00:00:10", "00:00:10"),
            ("1.02:03:04.5", "1.02:03:04.5000000"),
            ("-00:30:00", "-00:30:00"),
            ("2d", "2.00:00:00"),
            ("1.5h", "01:30:00"),
            ("100ms", "00:00:00.1000000"),
            ("1tick", "00:00:00.0000001"),
            ("3", "3.00:00:00"),
            ("00:05", "00:05:00"),
        ] {
            assert_eq!(Timespan::parse(text).map(|t| t.to_string()).as_deref(), Some(printed), "{text}");
        }
        for text in ["", "x", "25:00:00", "1:2:3:4", "5 weeks", "NaN"] {
            assert_eq!(Timespan::parse(text), None, "{text}");
        }
    }
}
