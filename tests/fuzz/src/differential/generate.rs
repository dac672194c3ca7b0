//! Bodies that are right, or wrong in one or two places: numbered, so that each can be made again.

use super::forms::HEADER;

/// The body of that number.
pub fn body(number: u64) -> Vec<u8> {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x7469_6465_6761_7465);
    let spread = random.one_in(8);
    let count = 1 + random.below(4);
    let events: Vec<Vec<u8>> = (0..count).map(|_| event(&mut random, spread)).collect();
    let mut body = frame(&mut random, &events);
    if random.one_in(12) {
        mutate(&mut random, &mut body);
    }
    body
}

/// A seed with some changes, the same for the same number.
pub fn mutated(seed: &[u8], number: u64) -> Vec<u8> {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x7365_6564);
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        mutate(&mut random, &mut bytes);
    }
    bytes
}

/// Numbers that look random and are the same every time (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % end.max(1)
    }

    fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }

    /// One of the first `good`, and now and then any of the list.
    fn mostly(&mut self, list: &[&'static str], good: usize) -> &'static str {
        let end = if self.one_in(16) { list.len() } else { good };
        list[self.below(end)]
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

fn frame(random: &mut Random, events: &[Vec<u8>]) -> Vec<u8> {
    let join = |separator: &[u8]| events.join(separator);
    match random.below(20) {
        0..=9 => [HEADER, &join(b"\n"), b"\n"].concat(),
        10..=12 => join(random.pick(&[&b"\n"[..], b"\r\n", b"\n\n", b" \n\t"])),
        13..=16 => [b"[", &join(random.pick(&[&b","[..], b" , ", b"\n,\r"]))[..], b"]"].concat(),
        17 => {
            let behind =
                random.pick(&[&b"]}"[..], b"],\"x\":[{}]}", b"] , \"type\" : \"t\"}", b"]}\n\n"]);
            [b"{\"batch\":[", &join(b",")[..], behind].concat()
        }
        _ => events.first().cloned().unwrap_or_default(),
    }
}

/// An event, mostly right; with `spread`, blanks between its tokens hold line breaks.
fn event(random: &mut Random, spread: bool) -> Vec<u8> {
    let mut keys: Vec<&str> = vec!["id", "seq", "ts", "age", "type", "weight", "props"];
    keys.retain(|key| *key == "type" || !random.one_in(3));
    if random.one_in(3) {
        for at in (1..keys.len()).rev() {
            keys.swap(at, random.below(at + 1));
        }
    }
    for _ in 0..random.below(3) {
        let at = random.below(keys.len() + 1);
        keys.insert(at, random.mostly(&EXTRA_KEYS, 5));
    }
    let loose = spread || random.one_in(4);
    let mut text = String::from("{");
    for (number, key) in keys.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        blank(random, &mut text, loose, spread);
        text.extend(["\"", &spelled(random, key), "\""]);
        blank(random, &mut text, loose, spread);
        text.push(':');
        blank(random, &mut text, loose, spread);
        text.push_str(&value(random, key));
        blank(random, &mut text, loose, spread);
    }
    text.push('}');
    let mut bytes = text.into_bytes();
    if random.one_in(4) {
        mutate(random, &mut bytes);
    }
    bytes
}

fn blank(random: &mut Random, text: &mut String, loose: bool, spread: bool) {
    if loose && random.one_in(4) {
        let blanks: &[&str] = if spread { &["\n", "\r\n", "\n\t"] } else { &[" ", "\t", "  "] };
        text.push_str(random.pick(blanks));
    }
}

/// A key, now and then with an escape in it.
fn spelled(random: &mut Random, key: &str) -> String {
    if !random.one_in(24) || key.contains('\\') {
        return key.to_owned();
    }
    let at = random.below(key.len());
    let mut text = String::new();
    for (place, letter) in key.chars().enumerate() {
        if place == at {
            let escape = format!("\\u{:04x}", u32::from(letter));
            text.push_str(&escape);
        } else {
            text.push(letter);
        }
    }
    text
}

fn value(random: &mut Random, key: &str) -> String {
    if random.one_in(60) {
        return any(random, 3);
    }
    // The good values stand first in their lists.
    match key {
        "id" => random.mostly(&IDS, 3).to_owned(),
        "type" => random.mostly(&TYPES, 4).to_owned(),
        "seq" | "ts" | "age" => random.mostly(&INTEGERS, 5).to_owned(),
        "weight" => random.mostly(&WEIGHTS, 5).to_owned(),
        _ => any(random, 4),
    }
}

/// Any JSON value.
fn any(random: &mut Random, room: usize) -> String {
    if random.one_in(150) {
        // Around the limit of 64, of which the event itself is one.
        let depth = 60 + random.below(8);
        return format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    }
    if random.one_in(250) {
        return format!("\"{}\"", "x".repeat(600 + random.below(200)));
    }
    match if room == 0 { random.below(6) } else { random.below(9) } {
        0 | 1 => random.mostly(&STRINGS, 12).to_owned(),
        2 => random.mostly(&INTEGERS, 12).to_owned(),
        3 => random.pick(&WEIGHTS).to_owned(),
        4 => random.pick(&["true", "false", "null"]).to_owned(),
        5 => format!("{}", random.next() >> random.below(64)),
        6 => {
            let items: Vec<_> = (0..random.below(4)).map(|_| any(random, room - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let mut members = Vec::new();
            for _ in 0..random.below(4) {
                let key = random.mostly(&STRINGS, 12);
                members.push(format!("{key}:{}", any(random, room - 1)));
            }
            format!("{{{}}}", members.join(","))
        }
    }
}

/// One to three small changes, most of them where they hurt.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let marks: Vec<usize> = (0..bytes.len())
            .filter(|at| bytes.get(*at).is_some_and(|byte| b"{}[]:,\"\\".contains(byte)))
            .collect();
        let at = if marks.is_empty() || random.one_in(2) {
            random.below(bytes.len() + 1)
        } else {
            marks[random.below(marks.len())]
        };
        let end = (at + random.below(3)).min(bytes.len());
        match random.below(6) {
            0 => drop(bytes.splice(at..end, [])),
            1 => {
                let copy = bytes.get(at..end).unwrap_or_default().to_vec();
                drop(bytes.splice(at..at, copy));
            }
            2 if at < bytes.len() => bytes[at] = random.next().to_le_bytes()[0],
            3 if random.one_in(8) => bytes.truncate(at),
            _ => drop(bytes.splice(at..end, random.pick(&SPICE).iter().copied())),
        }
    }
}

const EXTRA_KEYS: [&str; 13] = [
    "x",
    "y",
    "_tgx",
    "Type",
    "é",
    "type",
    "id",
    "seq",
    "props",
    "_tg",
    "ty\\\\u0070e",
    "\\ud83d\\ude00",
    "tidegate",
];
const IDS: [&str; 7] = [
    "\"0198f0c0-a1b2-7cc3-8dd4-e5f60718293a\"",
    "\"a\"",
    "\"a b~!\"",
    "\"\"",
    "\"é\"",
    "\"a\\\"b\"",
    "\"\u{7f}\"",
];
const TYPES: [&str; 9] = [
    "\"page.view\"",
    "\"a\"",
    "\"A_9.:-\"",
    "\"order.paid\"",
    "\"a b\"",
    "\"\"",
    "\"\\u0061\"",
    "null",
    "7",
];
const INTEGERS: [&str; 14] = [
    "0",
    "1",
    "41",
    "1767225599800",
    "9007199254740991",
    "9007199254740992",
    "-9007199254740991",
    "-0",
    "-1",
    "1.0",
    "1e3",
    "123456789012345678901234567890",
    "01",
    "null",
];
const WEIGHTS: [&str; 12] =
    ["1", "4", "0.5", "1e3", "1E-2", "0", "-1", "1e400", "1e-400", "2.5e+3", "0.0", "1.7e308"];
const STRINGS: [&str; 16] = [
    "\"\"",
    "\"x\"",
    "\"/home?q=1\"",
    "\"é€😀\"",
    "\"\\u00e9\\ud83d\\ude00\"",
    "\"\\\\\\\"\\/\\b\\f\\n\\r\\t\"",
    "\"[{,}]\"",
    "\"type\"",
    "\"_tg\"",
    "\"0123456789abcdef0123456789abcdef\"",
    "\"\u{7f}\u{85}\u{2028}\"",
    "\"aaaaaaa\\\"\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\x\"",
    "\"\\u12g4\"",
];
const SPICE: [&[u8]; 26] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\"",
    b"\\",
    b"\\\"",
    b"\\u",
    b"\\ud800",
    b"\\u0000",
    b"\n",
    b"\r",
    b"\t",
    b"\0",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"0",
    b"-",
    b"e",
    b".",
    b"null",
    b"[[",
    b"}}",
];
