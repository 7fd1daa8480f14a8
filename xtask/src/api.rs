//! The public surface of the library's crates, one file for each version under `api/`.
//! `cargo xtask test api` fails when the code says something else than the file of the
//! present version, or when that file breaks the version before without saying so in its
//! number; `cargo xtask api` writes the present version's files.

use public_api::Builder;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates whose items a user of the ingest library names.
const CRATES: &[&str] = &["kusto-types", "kusto-wire", "kusto-client", "kusto-ingest"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let version = Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
        parts.next().is_none().then_some(version)
    }

    /// Cargo takes a later version of the same line without being asked: the leftmost
    /// part that is not zero is the line.
    fn is_compatible_with(self, earlier: Self) -> bool {
        match (self.major, self.minor) {
            (0, 0) => self == earlier,
            (0, minor) => earlier.major == 0 && earlier.minor == minor,
            (major, _) => earlier.major == major,
        }
    }
}

/// What a release may not do with the number it has: one line for each item.
fn breaks(before: (Version, &str), now: (Version, &str)) -> Vec<String> {
    if !now.0.is_compatible_with(before.0) {
        return Vec::new();
    }
    let present: BTreeSet<&str> = now.1.lines().collect();
    before.1.lines().filter(|line| !present.contains(line)).map(str::to_owned).collect()
}

/// Lines only in the one or only in the other, marked.
fn difference(file: &str, code: &str) -> Vec<String> {
    let (file, code): (BTreeSet<&str>, BTreeSet<&str>) = (file.lines().collect(), code.lines().collect());
    let gone = file.difference(&code).map(|line| format!("- {line}"));
    gone.chain(code.difference(&file).map(|line| format!("+ {line}"))).collect()
}

/// The surface as text: an item a line, without what is derived or comes from a blanket.
fn surface(root: &Path, package: &str) -> Result<String, String> {
    let status = Command::new("cargo")
        .args(["rustdoc", "--quiet", "--package", package, "--lib", "--all-features", "--locked", "--"])
        .args(["-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        // The format of this toolchain is pinned, and `public-api` with it.
        .env("RUSTDOC", root.join("xtask/rustdoc-json"))
        .current_dir(root)
        .status()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !status.success() {
        return Err(format!("the documentation of {package} does not build: {status}"));
    }
    let json = root.join("target/doc").join(format!("{}.json", package.replace('-', "_")));
    let items = Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .map_err(|error| format!("the documentation of {package} cannot be read: {error}"))?;
    Ok(items.items().map(|item| format!("{item}\n")).collect())
}

fn file(root: &Path, package: &str, version: &str) -> PathBuf {
    root.join("api").join(package).join(format!("{version}.txt"))
}

/// The latest version before this one that has a file.
fn before(root: &Path, package: &str, now: Version) -> Result<Option<(Version, String)>, String> {
    let folder = root.join("api").join(package);
    let files = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let latest = files
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".txt").and_then(Version::parse))
        .filter(|version| *version < now)
        .max();
    let Some(version) = latest else { return Ok(None) };
    let name = format!("{}.{}.{}", version.major, version.minor, version.patch);
    let path = file(root, package, &name);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Some((version, text)))
}

/// Compares the code with the files.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let number = env!("CARGO_PKG_VERSION");
    let version = Version::parse(number).ok_or_else(|| format!("{number} is not a version"))?;
    for package in CRATES {
        let code = surface(root, package)?;
        let path = file(root, package, number);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}; `cargo xtask api` writes it", path.display()))?;
        let changed = difference(&text, &code);
        if !changed.is_empty() {
            return Err(format!(
                "{package} is not what {} says (- there, + in the code):\n{}\nif that is wanted: `cargo xtask api`",
                path.display(),
                changed.join("\n")
            ));
        }
        if let Some((earlier, text)) = before(root, package, version)? {
            let broken = breaks((earlier, &text), (version, &code));
            if !broken.is_empty() {
                return Err(format!(
                    "{number} of {package} breaks {earlier:?} and needs a number of another line; gone or changed:\n{}",
                    broken.join("\n")
                ));
            }
        }
        println!("{package} {number}: {} public items", code.lines().count());
    }
    Ok(())
}

/// Writes the files of the present version.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    for package in CRATES {
        let path = file(root, package, env!("CARGO_PKG_VERSION"));
        let folder = path.parent().unwrap_or(root);
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        std::fs::write(&path, surface(root, package)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn what_goes_or_changes_needs_a_number_of_another_line() {
        let (old, new) = ("pub fn a()\npub fn b()\n", "pub fn a(u8)\npub fn b()\npub fn c()\n");
        let told = |before: &str, now: &str| breaks((version(before), old), (version(now), new));
        assert_eq!(told("1.0.0", "1.1.0"), ["pub fn a()"]);
        assert_eq!(told("0.1.0", "0.1.1"), ["pub fn a()"]);
        assert!(told("0.1.9", "0.2.0").is_empty() && told("1.9.0", "2.0.0").is_empty());
        assert!(told("0.0.1", "0.0.2").is_empty() && told("0.9.0", "1.0.0").is_empty());
        assert!(
            breaks((version("1.0.0"), old), (version("1.0.1"), &format!("{old}pub fn c()\n"))).is_empty()
        );
    }

    #[test]
    fn a_difference_has_both_sides() {
        assert_eq!(difference("a\nb\n", "b\nc\n"), ["- a", "+ c"]);
        assert!(difference("a\n", "a\n").is_empty());
        assert!(Version::parse("1.2").is_none() && Version::parse("1.2.3.4").is_none());
    }
}
