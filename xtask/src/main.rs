//! Chores of the repository: `cargo xtask test` runs every check that must pass before
//! a change lands; each part can be run alone.

#![expect(clippy::print_stdout, reason = "a chore's output is for the person who runs it")]

mod api;
mod conformance;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

type Step = (&'static str, fn(&Path) -> Result<(), String>);

const STEPS: &[Step] = &[
    ("fmt", |root| run(root, "cargo", &["fmt", "--all", "--check"])),
    ("lint", |root| {
        run(root, "cargo", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
        let package = ["clippy", "--package", "kusto-ingest", "--all-features", "--all-targets", "--locked"];
        run(root, "cargo", &[&package[..], &["--", "-D", "warnings"]].concat())
    }),
    ("lean", lean),
    ("api", api::check),
    ("deny", deny),
    ("rust", |root| {
        let arguments = ["test", "--workspace", "--exclude", "kusto-ingest", "--locked", "--no-fail-fast"];
        conformance::cargo_test(root, Command::new("cargo").args(arguments).current_dir(root))
    }),
    ("features", |root| {
        let package = ["--package", "kusto-ingest", "--all-features", "--locked"];
        let arguments = [&["test"], &package[..], &["--no-fail-fast"]].concat();
        conformance::cargo_test(root, Command::new("cargo").args(arguments).current_dir(root))?;
        for example in ["modes", "sources"] {
            run(root, "cargo", &[&["run", "--quiet"], &package[..], &["--example", example]].concat())?;
        }
        Ok(())
    }),
    ("sdk", sdk),
    ("azurite", azurite),
    ("conformance", conformance::check),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default();
    let written = match words.as_slice() {
        ["api"] => Some(api::write(&root)),
        ["conformance"] => Some(conformance::write(&root)),
        // A whole run begins with no test passed.
        ["test"] => conformance::begin(&root).err().map(Err),
        _ => None,
    };
    if let Some(written) = written {
        return match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("{problem}");
                ExitCode::FAILURE
            }
        };
    }
    let wanted: Vec<&Step> = match words.as_slice() {
        ["test"] => STEPS.iter().collect(),
        ["test", names @ ..] => STEPS.iter().filter(|(name, _)| names.contains(name)).collect(),
        _ => Vec::new(),
    };
    if wanted.is_empty() {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        eprintln!(
            "usage: cargo xtask test [{}]... | cargo xtask api | cargo xtask conformance",
            names.join("|")
        );
        return ExitCode::from(2);
    }
    for (name, step) in wanted {
        println!("== {name}");
        let begun = Instant::now();
        if let Err(problem) = step(&root) {
            eprintln!("== {name} failed: {problem}");
            return ExitCode::FAILURE;
        }
        println!("== {name} passed in {} s", begun.elapsed().as_secs());
    }
    ExitCode::SUCCESS
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .status()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{program} {} ended with {status}", arguments.join(" ")))
    }
}

/// The ingest library must not pull Arrow or a query engine into its users' builds.
fn lean(root: &Path) -> Result<(), String> {
    let output = Command::new("cargo")
        .args(["tree", "--package", "kusto-ingest", "--edges", "normal", "--prefix", "none", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    let tree = String::from_utf8_lossy(&output.stdout);
    let mut names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    names.sort_unstable();
    names.dedup();
    println!("kusto-ingest depends on {} crates", names.len());
    let heavy = names.iter().find(|name| {
        name.starts_with("arrow")
            || matches!(**name, "parquet" | "rusqlite" | "kusto-engine" | "kusto-decode" | "axum")
    });
    match heavy {
        Some(name) => Err(format!("kusto-ingest must not depend on {name}")),
        None if names.len() > 170 => Err("kusto-ingest depends on more than 170 crates".to_owned()),
        None => Ok(()),
    }
}

/// Licences, bans and sources of the dependencies by `deny.toml`; advisories need a
/// network and are left to a run by hand.
fn deny(root: &Path) -> Result<(), String> {
    let installed = Command::new("cargo")
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        println!("skipped: cargo-deny is not installed (cargo install cargo-deny --locked)");
        return Ok(());
    }
    run(root, "cargo", &["deny", "--log-level", "error", "check", "licenses", "bans", "sources"])
}

/// The unmodified official Python, Node, Go and Java clients and Azurite against the
/// service. Python's and Node's packages are installed under `target/sdk`, pinned by the
/// files in `tests/sdk`; Go and Java are left out, and said so, where they are missing.
fn sdk(root: &Path) -> Result<(), String> {
    let tests = root.join("tests/sdk");
    if !tests.exists() {
        println!("tests/sdk is not there yet");
        return Ok(());
    }
    run(root, "cargo", &["build", "--locked", "--package", "kin"])?;
    let work = root.join("target/sdk");
    std::fs::create_dir_all(&work).map_err(|error| error.to_string())?;
    let python = work.join("venv/bin/python");
    if !python.exists() {
        run(&work, "python3", &["-m", "venv", "venv"])?;
    }
    let requirements = tests.join("requirements.txt");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    run(
        &work,
        &text(&python),
        &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", &text(&requirements)],
    )?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(tests.join(name), work.join(name)).map_err(|error| format!("{name}: {error}"))?;
    }
    run(&work, "npm", &["ci", "--silent", "--no-audit", "--no-fund"])?;
    let kin: PathBuf = root.join("target/debug/kin");
    let report = work.join("report.xml");
    let status = Command::new(&python)
        .args([
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            "--junitxml",
            &text(&report),
            &text(&tests),
        ])
        .env("KIN_BIN", &kin)
        .env("SDK_WORK", &work)
        .current_dir(&work)
        .status()
        .map_err(|error| format!("pytest cannot be started: {error}"))?;
    conformance::pytest_report(root, &report)?;
    if status.success() { Ok(()) } else { Err(format!("pytest ended with {status}")) }
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// Ends a child with its owner.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that ended by itself is as good.
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// The ingest library's integration suite once more, with Azurite as the storage: each
/// service of a test has an account of its own.
fn azurite(root: &Path) -> Result<(), String> {
    const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let program = root.join("target/sdk/node_modules/.bin/azurite");
    if !program.exists() {
        return Err("Azurite is not installed; the step sdk installs it".to_owned());
    }
    let ports = [free_port()?, free_port()?, free_port()?];
    let accounts: Vec<String> = (0..64).map(|n| format!("kin{n}:{KEY}")).collect();
    let mut command = Command::new(program);
    command.args(["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]);
    for (service, port) in ["blob", "queue", "table"].iter().zip(ports) {
        command.args([format!("--{service}Port"), port.to_string()]);
    }
    let child = command
        .env("AZURITE_ACCOUNTS", accounts.join(";"))
        .current_dir(root.join("target/sdk"))
        .spawn()
        .map_err(|error| format!("Azurite cannot be started: {error}"))?;
    let _running = Running(child);
    let begun = Instant::now();
    for port in ports {
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begun.elapsed().as_secs() > 60 {
                return Err("Azurite does not listen after a minute".to_owned());
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
    let [blob, queue, table] = ports.map(|port| format!("http://127.0.0.1:{port}/{{account}}"));
    let storage = format!(
        "AccountName={{account}};AccountKey={KEY};BlobEndpoint={blob};QueueEndpoint={queue};TableEndpoint={table}"
    );
    let mut command = Command::new("cargo");
    command
        .args(["test", "--package", "kusto-ingest", "--all-features", "--locked", "--no-fail-fast"])
        .args(["--test", "modes"])
        .env("KIN_TEST_STORAGE", storage)
        .current_dir(root);
    conformance::cargo_test(root, &mut command).map_err(|problem| format!("the suite on Azurite: {problem}"))
}
