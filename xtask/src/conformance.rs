//! The conformance page: `docs/compat.md` is written from `tests/conformance.txt`, and each
//! test that it names must have passed in this run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What came of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Skipped,
    Passed,
    Failed,
}

fn ledger(root: &Path) -> PathBuf {
    root.join("target/conformance.tsv")
}

/// Forgets the tests of earlier runs.
pub(crate) fn begin(root: &Path) -> Result<(), String> {
    match std::fs::remove_file(ledger(root)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn record(root: &Path, outcomes: &[(String, Outcome)]) -> Result<(), String> {
    std::fs::create_dir_all(root.join("target")).map_err(|error| error.to_string())?;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(ledger(root))
        .map_err(|error| error.to_string())?;
    for (name, outcome) in outcomes {
        writeln!(file, "{name}\t{outcome:?}").map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The test of a line such as `test a::b::name ... ok`.
fn libtest_line(line: &str) -> Option<(String, Outcome)> {
    let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let outcome = match outcome.split([',', ' ']).next()? {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed,
        "ignored" => Outcome::Skipped,
        _ => return None,
    };
    let name = name.split(" - ").next()?.rsplit("::").next()?;
    Some((name.to_owned(), outcome))
}

/// Runs `cargo` with its output shown, and remembers what its tests came to.
pub(crate) fn cargo_test(root: &Path, command: &mut Command) -> Result<(), String> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    let mut outcomes = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| error.to_string())?;
            println!("{line}");
            outcomes.extend(libtest_line(&line));
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    record(root, &outcomes)?;
    if status.success() { Ok(()) } else { Err(format!("cargo test ended with {status}")) }
}

/// Remembers the tests of a report in JUnit's XML, as pytest writes it.
pub(crate) fn pytest_report(root: &Path, report: &Path) -> Result<(), String> {
    let xml = std::fs::read_to_string(report).map_err(|error| format!("{}: {error}", report.display()))?;
    let mut outcomes = Vec::new();
    for case in xml.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap_or(case);
        let Some(name) = case.split(" name=\"").nth(1).and_then(|rest| rest.split('"').next()) else {
            continue;
        };
        // A test with parameters is one test here.
        let name = name.split('[').next().unwrap_or(name).to_owned();
        let head = case.split_once("/>").filter(|(head, _)| !head.contains('>')).map(|(head, _)| head);
        let body = head.map_or(case, |_| "");
        let outcome = if body.contains("<failure") || body.contains("<error") {
            Outcome::Failed
        } else if body.contains("<skipped") {
            Outcome::Skipped
        } else {
            Outcome::Passed
        };
        outcomes.push((name, outcome));
    }
    record(root, &outcomes)
}

/// A line of the table.
struct Row {
    verdict: String,
    what: String,
    how: String,
    tests: Vec<String>,
}

fn rows(root: &Path) -> Result<Vec<(String, Vec<Row>)>, String> {
    let path = root.join("tests/conformance.txt");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut areas: Vec<(String, Vec<Row>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("tests/conformance.txt, line {}: {what}", number + 1);
        if let Some(area) = line.strip_prefix("## ") {
            areas.push((area.to_owned(), Vec::new()));
        } else if !line.is_empty() && !line.starts_with('#') {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [verdict, what, how, tests] = cells[..] else {
                return Err(wrong("verdict | what | how | tests is expected"));
            };
            let tests: Vec<String> =
                tests.split(',').map(str::trim).filter(|test| !test.is_empty()).map(str::to_owned).collect();
            match verdict {
                "same" | "differs" if tests.is_empty() => return Err(wrong("no test shows it")),
                "same" | "differs" | "absent" => {}
                _ => return Err(wrong("same, differs or absent is expected")),
            }
            let row = Row { verdict: verdict.to_owned(), what: what.to_owned(), how: how.to_owned(), tests };
            areas.last_mut().ok_or_else(|| wrong("no area is open"))?.1.push(row);
        }
    }
    Ok(areas)
}

fn page(areas: &[(String, Vec<Row>)]) -> Result<String, String> {
    let count =
        |verdict: &str| areas.iter().flat_map(|(_, rows)| rows).filter(|row| row.verdict == verdict).count();
    let mut page = String::from("# Compared with Kusto\n\n");
    let mut line = |text: String| page.push_str(&text);
    line(format!(
        "{} behaviours are the same, {} differ, {} are absent. Written by `cargo xtask conformance` from\n\
         `tests/conformance.txt`; every run of `cargo xtask test` fails when a test that is named here does.\n\
         Names that begin with `test_` are of `tests/sdk`, the others are Rust tests.\n",
        count("same"),
        count("differs"),
        count("absent")
    ));
    for (area, rows) in areas {
        write!(page, "\n## {area}\n\n| behaviour | here | how | tests |\n|---|---|---|---|\n")
            .map_err(|error| error.to_string())?;
        for row in rows {
            let tests: Vec<String> = row.tests.iter().map(|test| format!("`{test}`")).collect();
            let tests = if tests.is_empty() { "–".to_owned() } else { tests.join(", ") };
            writeln!(page, "| {} | {} | {} | {tests} |", row.what, row.verdict, row.how)
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(page)
}

/// Writes the page.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    std::fs::write(root.join("docs/compat.md"), page(&rows(root)?)?).map_err(|error| error.to_string())
}

/// Fails when the page is not what the table says, or when a test of it did not pass.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let areas = rows(root)?;
    let written = std::fs::read_to_string(root.join("docs/compat.md")).map_err(|error| error.to_string())?;
    if written != page(&areas)? {
        return Err(
            "docs/compat.md is not what tests/conformance.txt says; run cargo xtask conformance".to_owned()
        );
    }
    let text = std::fs::read_to_string(ledger(root))
        .map_err(|error| format!("no test has run before this step: {error}"))?;
    let mut outcomes: BTreeMap<&str, Outcome> = BTreeMap::new();
    for line in text.lines() {
        let Some((name, outcome)) = line.split_once('\t') else { continue };
        let outcome = match outcome {
            "Passed" => Outcome::Passed,
            "Skipped" => Outcome::Skipped,
            _ => Outcome::Failed,
        };
        // Of several runs of one test the worst counts, a skipped one least.
        let known = outcomes.entry(name).or_insert(outcome);
        *known = (*known).max(outcome);
    }
    let mut faults = Vec::new();
    let mut skipped = Vec::new();
    for test in areas.iter().flat_map(|(_, rows)| rows).flat_map(|row| &row.tests) {
        match outcomes.get(test.as_str()) {
            Some(Outcome::Passed) => {}
            Some(Outcome::Skipped) => skipped.push(test.as_str()),
            Some(Outcome::Failed) => faults.push(format!("{test} failed")),
            None => faults.push(format!("{test} did not run")),
        }
    }
    skipped.sort_unstable();
    skipped.dedup();
    if !skipped.is_empty() {
        println!("not run on this machine: {}", skipped.join(", "));
    }
    faults.sort();
    faults.dedup();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_tests_read() {
        for (line, expected) in [
            ("test a::tests::name ... ok", Some(("name", Outcome::Passed))),
            ("test name ... FAILED", Some(("name", Outcome::Failed))),
            ("test name ... ignored, run by hand", Some(("name", Outcome::Skipped))),
            ("test name - should panic ... ok", Some(("name", Outcome::Passed))),
            ("test result: ok. 2 passed", None),
            ("running 2 tests", None),
        ] {
            let expected = expected.map(|(name, outcome)| (name.to_owned(), outcome));
            assert_eq!(libtest_line(line), expected, "{line}");
        }
    }
}
