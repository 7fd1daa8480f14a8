//! The subset of JSON path that ingestion mappings use: `$`, `.name`, `['name']`,
//! `["name"]` and `[n]`. No wildcards, filters or slices, as in Kusto.

use std::fmt;

/// One step from a JSON value to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathStep {
    /// The value of a property.
    Property(String),
    /// The element at a zero-based position.
    Index(usize),
}

/// A path from the root of a record to one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<PathStep>);

/// A text that is not a path of the subset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a JSON path at character {at}: {problem}")]
pub struct JsonPathError {
    /// The text.
    pub path: String,
    /// Zero-based byte offset of the fault.
    pub at: usize,
    /// What is wrong there.
    pub problem: &'static str,
}

impl JsonPath {
    /// The path `$.name`.
    pub fn property(name: impl Into<String>) -> Self {
        Self(vec![PathStep::Property(name.into())])
    }

    /// The steps from the root; empty for `$`.
    pub fn steps(&self) -> &[PathStep] {
        &self.0
    }

    /// Reads a path that begins with `$`.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let fail = |at: usize, problem| Err(JsonPathError { path: text.to_owned(), at, problem });
        let Some(mut rest) = text.strip_prefix('$') else {
            return fail(0, "it must begin with $");
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            if let Some(after) = rest.strip_prefix('[') {
                let after = after.trim_start();
                let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'));
                if let Some(quote) = quote {
                    let mut name = String::new();
                    let mut chars = after[1..].char_indices();
                    let mut end = None;
                    while let Some((index, c)) = chars.next() {
                        match c {
                            '\\' => {
                                if let Some((_, escaped)) = chars.next() {
                                    name.push(escaped);
                                }
                            }
                            c if c == quote => {
                                end = Some(index + 2);
                                break;
                            }
                            c => name.push(c),
                        }
                    }
                    let Some(end) = end else { return fail(at, "the quoted name does not end") };
                    let Some(after) = after[end..].trim_start().strip_prefix(']') else {
                        return fail(at, "a ] is missing");
                    };
                    steps.push(PathStep::Property(name));
                    rest = after;
                } else {
                    let Some((digits, after)) = after.split_once(']') else {
                        return fail(at, "a ] is missing");
                    };
                    let Ok(index) = digits.trim().parse() else {
                        return fail(at, "only a position or a quoted name may stand in brackets");
                    };
                    steps.push(PathStep::Index(index));
                    rest = after;
                }
            } else if let Some(after) = rest.strip_prefix('.') {
                if after.starts_with('[') {
                    rest = after;
                    continue;
                }
                let end = after.find(['.', '[']).unwrap_or(after.len());
                if end == 0 {
                    return fail(at, "a property name is missing");
                }
                steps.push(PathStep::Property(after[..end].to_owned()));
                rest = &after[end..];
            } else {
                return fail(at, "expected . or [");
            }
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|step| match step {
            PathStep::Property(name) => write!(f, "['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")),
            PathStep::Index(index) => write!(f, "[{index}]"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_and_print_back() {
        for text in ["$", "$.a", "$.a.b", "$['a b'].c", "$.['a b']", "$[\"x\"][0]", "$.a[12].b", "$[\\'a\\']"]
        {
            let Ok(path) = JsonPath::parse(text) else {
                assert_eq!(text, "$[\\'a\\']");
                continue;
            };
            assert_eq!(JsonPath::parse(&path.to_string()), Ok(path), "{text}");
        }
        for text in ["a", "$.", "$..a", "$.*[", "$[?(@.a)]", "$['a", "$[1"] {
            assert!(JsonPath::parse(text).is_err(), "{text}");
        }
    }
}
