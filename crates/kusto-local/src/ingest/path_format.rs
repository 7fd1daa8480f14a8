//! Reads the time out of a blob's path by a pattern of .NET's date formats:
//! `("logs/" datetime_pattern("yyyy'/month='MM'/day='dd", creationTime))`. Pure.

use kusto_kql::PathPart;
use kusto_types::DateTime;
use regex::Regex;

/// A path format, ready to be held against paths.
pub(crate) struct PathFormat(Regex);

/// The parts of a time, as groups of the expression.
const GROUPS: [(&str, &str); 7] =
    [("y", "0001"), ("M", "01"), ("d", "01"), ("H", "00"), ("m", "00"), ("s", "00"), ("f", "0")];

impl PathFormat {
    /// Fails on a pattern that names what a path cannot say.
    pub(crate) fn new(parts: &[PathPart]) -> Result<Self, String> {
        let mut expression = String::new();
        for part in parts {
            match part {
                PathPart::Text(text) => expression.push_str(&regex::escape(text)),
                PathPart::Time { pattern, name } if name.eq_ignore_ascii_case("creationTime") => {
                    if expression.contains("(?<") {
                        return Err("PathFormat has more than one datetime_pattern".to_owned());
                    }
                    expression.push_str(&time(pattern)?);
                }
                PathPart::Time { name, .. } => {
                    return Err(format!("a path gives creationTime and nothing else; {name} is not known"));
                }
            }
        }
        Regex::new(&expression).map(Self).map_err(|error| format!("PathFormat cannot be read: {error}"))
    }

    /// The time that a path has, if it is made in this way.
    pub(crate) fn creation_time(&self, path: &str) -> Option<DateTime> {
        let found = self.0.captures(path)?;
        let part = |name: &str| {
            let default = GROUPS.iter().find(|(group, _)| *group == name).map_or("0", |(_, default)| default);
            found.name(name).map_or(default, |part| part.as_str()).to_owned()
        };
        let year = part("y");
        // As .NET reads two digits.
        let year = match (year.len(), year.parse::<u32>()) {
            (2, Ok(year)) => (if year < 50 { 2000 + year } else { 1900 + year }).to_string(),
            _ => year,
        };
        DateTime::parse(&format!(
            "{year}-{:0>2}-{:0>2}T{:0>2}:{:0>2}:{:0>2}.{}Z",
            part("M"),
            part("d"),
            part("H"),
            part("m"),
            part("s"),
            part("f")
        ))
    }
}

/// The expression of a time's pattern. With braces in it, only what is within them is of the
/// time: `year={yyyy}/month={MM}`.
fn time(pattern: &str) -> Result<String, String> {
    let mut expression = String::new();
    let braces = pattern.contains('{');
    let mut inside = !braces;
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '{' => inside = true,
            '}' if braces => inside = false,
            '\'' | '"' if inside => {
                let text: String = characters.by_ref().take_while(|next| *next != character).collect();
                expression.push_str(&regex::escape(&text));
            }
            '\\' if inside => {
                let text: String = characters.next().into_iter().collect();
                expression.push_str(&regex::escape(&text));
            }
            letter if inside && letter.is_ascii_alphabetic() => {
                let mut count = 1;
                while characters.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                expression.push_str(&digits(letter, count)?);
            }
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    if expression.contains("(?<y>") {
        Ok(expression)
    } else {
        Err(format!("datetime_pattern {pattern:?} has no year (yyyy)"))
    }
}

fn digits(letter: char, count: usize) -> Result<String, String> {
    let (group, widths): (_, &[usize]) = match letter {
        'y' => ('y', &[2, 4]),
        'M' | 'd' | 'm' | 's' => (letter, &[1, 2]),
        'H' | 'h' => ('H', &[1, 2]),
        'f' | 'F' => ('f', &[1, 2, 3, 4, 5, 6, 7]),
        other => return Err(format!("datetime_pattern: {other:?} is not known; put text into ' '")),
    };
    if !widths.contains(&count) {
        return Err(format!("datetime_pattern: {letter:?} stands {count} times in a row"));
    }
    Ok(match count {
        1 if group != 'f' => format!("(?<{group}>[0-9]{{1,2}})"),
        _ => format!("(?<{group}>[0-9]{{{count}}})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[PathPart], path: &str) -> Result<Option<String>, String> {
        Ok(PathFormat::new(parts)?.creation_time(path).map(|at| at.to_string()))
    }

    fn pattern(text: &str) -> PathPart {
        PathPart::Time { pattern: text.to_owned(), name: "creationTime".to_owned() }
    }

    #[test]
    fn times_are_read_from_paths() {
        for (parts, path, expected) in [
            (
                vec![pattern("yyyy'/month='MM'/day='dd")],
                "a/2025/month=03/day=20/x.csv",
                Some("2025-03-20T00:00:00Z"),
            ),
            (vec![pattern("year={yyyy}/month={MM}")], "year=2025/month=03/x", Some("2025-03-01T00:00:00Z")),
            (
                vec![PathPart::Text("out_".into()), pattern("yyyyMMddHHmmss"), PathPart::Text("_z".into())],
                "d/out_20250320010203_z.csv",
                Some("2025-03-20T01:02:03Z"),
            ),
            (vec![pattern("yy-M-d")], "99-1-2.csv", Some("1999-01-02T00:00:00Z")),
            (vec![pattern("yyyy/MM/dd")], "2025/13/01/x.csv", None),
            (vec![pattern("yyyy/MM/dd")], "x.csv", None),
            (vec![PathPart::Text("b/".into()), pattern("yyyy")], "a/2025", None),
        ] {
            assert_eq!(read(&parts, path).unwrap().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn patterns_that_say_nothing_are_refused() {
        let other = PathPart::Time { pattern: "yyyy".into(), name: "day".into() };
        for parts in [
            vec![pattern("MM/dd")],
            vec![pattern("yyyyy")],
            vec![pattern("yyyy month")],
            vec![pattern("yyyy"), pattern("yyyy")],
            vec![other],
        ] {
            PathFormat::new(&parts).err().unwrap();
        }
    }
}
