//! The Python reference: its own tests, and that the vector files are what it gives.

use std::path::PathBuf;
use std::process::Command;

fn python(arguments: &[&str]) {
    let contract = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../contract");
    let ran = Command::new("python3")
        .args(["-B"])
        .args(arguments)
        .current_dir(contract)
        .output()
        .expect("python3, which the tests of this project need anyway");
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{text}{errors}");
}

#[test]
fn vectors_are_what_the_reference_gives() {
    python(&["reference/generate.py", "--check"]);
}

#[test]
fn the_reference_passes_its_own_tests() {
    python(&["-m", "unittest", "discover", "-s", "reference", "-t", ".", "-p", "tests.py"]);
}
