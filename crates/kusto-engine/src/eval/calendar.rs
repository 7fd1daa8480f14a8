//! Times: the calendar's periods, their parts, and times as formatted text.

use super::cast::texts;
use super::expr::longs;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array};
use chrono::{Datelike, Months, NaiveDate, NaiveDateTime, TimeDelta, Timelike};
use kusto_kql::{Function, Period};
use kusto_types::{ColumnType, DateTime, TICKS_PER_DAY, TICKS_PER_SECOND};
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

/// The calendar's view of ticks.
fn naive(ticks: i64) -> Option<NaiveDateTime> {
    DateTime::from_ticks(ticks)?;
    let start = NaiveDate::from_ymd_opt(1, 1, 1)?.and_hms_opt(0, 0, 0)?;
    let seconds = TimeDelta::try_seconds(ticks.div_euclid(TICKS_PER_SECOND))?;
    let rest = TimeDelta::nanoseconds(ticks.rem_euclid(TICKS_PER_SECOND) * 100);
    start.checked_add_signed(seconds)?.checked_add_signed(rest)
}

fn ticks(instant: NaiveDateTime) -> Option<i64> {
    let start = NaiveDate::from_ymd_opt(1, 1, 1)?.and_hms_opt(0, 0, 0)?;
    let seconds = instant.signed_duration_since(start).num_seconds();
    let value =
        seconds.checked_mul(TICKS_PER_SECOND)? + i64::from(instant.nanosecond() % 1_000_000_000) / 100;
    DateTime::from_ticks(value).map(DateTime::ticks)
}

/// Ticks of a period of fixed length; nanoseconds have less than one.
fn fixed(period: Period) -> Option<i64> {
    Some(match period {
        Period::Week => 7 * TICKS_PER_DAY,
        Period::Day => TICKS_PER_DAY,
        Period::Hour => 3600 * TICKS_PER_SECOND,
        Period::Minute => 60 * TICKS_PER_SECOND,
        Period::Second => TICKS_PER_SECOND,
        Period::Millisecond => TICKS_PER_SECOND / 1000,
        Period::Microsecond => TICKS_PER_SECOND / 1_000_000,
        Period::Year
        | Period::Quarter
        | Period::Month
        | Period::WeekOfYear
        | Period::DayOfYear
        | Period::Nanosecond => return None,
    })
}

/// The first tick of the period that an instant is in. Weeks begin on Sunday.
fn start_of(period: Period, instant: NaiveDateTime) -> Option<NaiveDateTime> {
    let date = instant.date();
    let first = match period {
        Period::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1)?,
        Period::Month => NaiveDate::from_ymd_opt(date.year(), date.month(), 1)?,
        Period::Week => {
            date.checked_sub_days(chrono::Days::new(u64::from(date.weekday().num_days_from_sunday())))?
        }
        _ => date,
    };
    first.and_hms_opt(0, 0, 0)
}

/// An instant so many periods later; a day that a month lacks becomes its last.
fn add(period: Period, amount: i64, instant: NaiveDateTime) -> Option<i64> {
    let months = match period {
        Period::Year => amount.checked_mul(12)?,
        Period::Quarter => amount.checked_mul(3)?,
        Period::Month => amount,
        Period::Nanosecond => return shifted(instant, amount / 100),
        other => return shifted(instant, amount.checked_mul(fixed(other)?)?),
    };
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    ticks(if months < 0 { instant.checked_sub_months(count)? } else { instant.checked_add_months(count)? })
}

fn shifted(instant: NaiveDateTime, by: i64) -> Option<i64> {
    DateTime::from_ticks(ticks(instant)?.checked_add(by)?).map(DateTime::ticks)
}

/// How many borders of a period lie between two instants.
fn difference(period: Period, a: i64, b: i64) -> Option<i64> {
    let (first, second) = (naive(a)?, naive(b)?);
    let months = |instant: NaiveDateTime| i64::from(instant.year()) * 12 + i64::from(instant.month0());
    Some(match period {
        Period::Year => i64::from(first.year()) - i64::from(second.year()),
        Period::Quarter => months(first).div_euclid(3) - months(second).div_euclid(3),
        Period::Month => months(first) - months(second),
        Period::Week | Period::WeekOfYear => {
            let week = |instant| Some(ticks(start_of(Period::Week, instant)?)? / (7 * TICKS_PER_DAY));
            week(first)? - week(second)?
        }
        Period::DayOfYear => a.div_euclid(TICKS_PER_DAY) - b.div_euclid(TICKS_PER_DAY),
        Period::Nanosecond => a.checked_sub(b)?.checked_mul(100)?,
        other => a.div_euclid(fixed(other)?) - b.div_euclid(fixed(other)?),
    })
}

fn part(period: Period, value: i64) -> Option<i32> {
    let instant = naive(value)?;
    let fraction = value.rem_euclid(TICKS_PER_SECOND);
    let number = match period {
        Period::Year => return Some(instant.year()),
        Period::Quarter => instant.month0() / 3 + 1,
        Period::Month => instant.month(),
        Period::Week | Period::WeekOfYear => instant.iso_week().week(),
        Period::Day => instant.day(),
        Period::DayOfYear => instant.ordinal(),
        Period::Hour => instant.hour(),
        Period::Minute => instant.minute(),
        Period::Second => instant.second(),
        Period::Millisecond => u32::try_from(fraction / 10_000).ok()?,
        Period::Microsecond => u32::try_from(fraction / 10).ok()?,
        Period::Nanosecond => u32::try_from(fraction * 100).ok()?,
    };
    i32::try_from(number).ok()
}

pub(super) fn call(function: Function, arrays: &[ArrayRef]) -> ArrayRef {
    let instants = || arrays[0].as_primitive::<Int64Type>();
    let offset = |row: usize| arrays.get(1).map_or(0, |offset| longs(offset, ColumnType::Long).value(row));
    match function {
        Function::StartOf(period) | Function::EndOf(period) => {
            let values = instants().iter().enumerate().map(|(row, value)| {
                let start = start_of(period, naive(value?)?)?;
                match function {
                    Function::StartOf(_) => add(period, offset(row), start),
                    // The last tick of a period; the last year ends where time does.
                    _ => match add(period, offset(row).checked_add(1)?, start) {
                        Some(next) => Some(next - 1),
                        None => DateTime::parse("9999-12-31T23:59:59.9999999Z").map(DateTime::ticks),
                    },
                }
            });
            Arc::new(values.collect::<Int64Array>())
        }
        Function::DatePart(period) => {
            Arc::new(instants().iter().map(|value| part(period, value?)).collect::<Int32Array>())
        }
        Function::DayOfWeek => {
            let days = instants().iter().map(|value| {
                Some(i64::from(naive(value?)?.weekday().num_days_from_sunday()) * TICKS_PER_DAY)
            });
            Arc::new(days.collect::<Int64Array>())
        }
        Function::DateAdd(period) => {
            let amounts = longs(&arrays[0], ColumnType::Long);
            let pairs = amounts.iter().zip(arrays[1].as_primitive::<Int64Type>());
            let values = pairs.map(|(amount, value)| add(period, amount?, naive(value?)?));
            Arc::new(values.collect::<Int64Array>())
        }
        Function::DateDiff(period) => {
            let pairs = instants().iter().zip(arrays[1].as_primitive::<Int64Type>());
            Arc::new(pairs.map(|(a, b)| difference(period, a?, b?)).collect::<Int64Array>())
        }
        Function::MakeDateTime => {
            let part = |index: usize, row: usize, default: f64| {
                let Some(array) = arrays.get(index) else { return Some(default) };
                (!array.is_null(row)).then(|| array.as_primitive::<Float64Type>().value(row))
            };
            let values = (0..arrays[0].len()).map(|row| {
                let whole = |index, default| part(index, row, default).map(|value| value as i64);
                let date = NaiveDate::from_ymd_opt(
                    i32::try_from(whole(0, 1.0)?).ok()?,
                    u32::try_from(whole(1, 1.0)?).ok()?,
                    u32::try_from(whole(2, 1.0)?).ok()?,
                )?;
                let time = date.and_hms_opt(
                    u32::try_from(whole(3, 0.0)?).ok()?,
                    u32::try_from(whole(4, 0.0)?).ok()?,
                    0,
                )?;
                let seconds = part(5, row, 0.0)?;
                if !(0.0..60.0).contains(&seconds) {
                    return None;
                }
                shifted(time, (seconds * TICKS_PER_SECOND as f64).round() as i64)
            });
            Arc::new(values.collect::<Int64Array>())
        }
        Function::UnixTime(unit) => {
            let start = DateTime::from_unix_nanos(0).map_or(0, DateTime::ticks);
            let values = (0..arrays[0].len()).map(|row| {
                if arrays[0].is_null(row) {
                    return None;
                }
                let since = if unit == 0 {
                    arrays[0].as_primitive::<Int64Type>().value(row).div_euclid(100)
                } else {
                    let value = arrays[0].as_primitive::<Float64Type>().value(row) * unit as f64;
                    if value.abs() < 9e18 { value.round() as i64 } else { return None }
                };
                DateTime::from_ticks(start.checked_add(since)?).map(DateTime::ticks)
            });
            Arc::new(values.collect::<Int64Array>())
        }
        Function::FormatDateTime => texts(arrays[0].len(), |row| {
            let format = arrays[1].as_string::<i32>().value(row);
            let value = (!arrays[0].is_null(row)).then(|| instants().value(row))?;
            Some(Cow::Owned(formatted(format, value, naive(value)?)))
        }),
        _ => texts(arrays[0].len(), |row| {
            let format = arrays[1].as_string::<i32>().value(row);
            let value = (!arrays[0].is_null(row)).then(|| instants().value(row))?;
            Some(Cow::Owned(formatted_span(format, value)))
        }),
    }
}

/// Runs of one character of a format.
fn runs(format: &str) -> Vec<(char, usize)> {
    let mut runs: Vec<(char, usize)> = Vec::new();
    for c in format.chars() {
        match runs.last_mut() {
            Some((last, count)) if *last == c => *count += 1,
            _ => runs.push((c, 1)),
        }
    }
    runs
}

/// Fractions of a second: `f` with all digits, `F` without the zeros at the end.
fn fraction(text: &mut String, letter: char, digits: usize, value: i64) {
    let all = format!("{:07}", value.rem_euclid(TICKS_PER_SECOND));
    let shown = &all[..digits.min(7)];
    text.push_str(if letter == 'F' { shown.trim_end_matches('0') } else { shown });
}

/// The letters of `format_datetime`; other characters stand for themselves.
fn formatted(format: &str, value: i64, instant: NaiveDateTime) -> String {
    let mut text = String::with_capacity(format.len());
    for (letter, count) in runs(format) {
        let (width, number) = match (letter, count) {
            ('y', 1..=2) => (count, instant.year() as u32 % 100),
            ('y', _) => (4, instant.year() as u32),
            ('M', _) => (count.min(2), instant.month()),
            ('d', _) => (count.min(2), instant.day()),
            ('H', _) => (count.min(2), instant.hour()),
            ('h', _) => (count.min(2), instant.hour12().1),
            ('m', _) => (count.min(2), instant.minute()),
            ('s', _) => (count.min(2), instant.second()),
            ('f' | 'F', _) => {
                fraction(&mut text, letter, count, value);
                continue;
            }
            ('t', _) => {
                text.push_str(if instant.hour() < 12 { "AM" } else { "PM" });
                continue;
            }
            (other, count) => {
                text.extend(std::iter::repeat_n(other, count));
                continue;
            }
        };
        let _infallible = write!(text, "{number:0width$}");
    }
    text
}

/// The letters of `format_timespan`.
fn formatted_span(format: &str, value: i64) -> String {
    let mut text = String::with_capacity(format.len());
    if value < 0 {
        text.push('-');
    }
    let value = value.saturating_abs();
    let seconds = value / TICKS_PER_SECOND;
    for (letter, count) in runs(format) {
        let (width, number) = match letter {
            'd' => (count, seconds / 86_400),
            'H' | 'h' => (count.min(2), seconds / 3600 % 24),
            'm' => (count.min(2), seconds / 60 % 60),
            's' => (count.min(2), seconds % 60),
            'f' | 'F' => {
                fraction(&mut text, letter, count, value);
                continue;
            }
            other => {
                text.extend(std::iter::repeat_n(other, count));
                continue;
            }
        };
        let _infallible = write!(text, "{number:0width$}");
    }
    text
}
