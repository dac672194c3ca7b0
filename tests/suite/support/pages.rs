//! Golden pages: text that is pinned to a file in `tests/golden/`.

use std::fmt::Write as _;
use std::fs;

use super::root;

/// Compares `text` with `tests/golden/<name>`, or writes it there when `UPDATE_DOCS=1` is set.
pub(crate) fn compare(name: &str, text: &str) {
    let path = root().join("tests/golden").join(name);
    if std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        fs::write(&path, text).expect("a golden page");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(text.lines()).find(|(is, now)| is != now);
    assert!(
        golden == text,
        "tests/golden/{name} is a promise and says something else; if it is meant, \
         run the suite with UPDATE_DOCS=1 and review the difference; first: {differs:?}"
    );
}

/// A file of `tests/cases/`.
pub(crate) fn case(name: &str) -> String {
    fs::read_to_string(root().join("tests/cases").join(name)).expect("a case")
}

/// Bytes as lines of hexadecimal digits, 32 bytes each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").expect("in memory");
        }
        text.push('\n');
    }
    text
}

/// The bytes of [`hex`].
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits")
    };
    digits.chunks(2).map(byte).collect()
}
