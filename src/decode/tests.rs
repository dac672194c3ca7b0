//! Codings against each other, against damage and against bombs.

use std::io::Write as _;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, GzBuilder};
use proptest::prelude::*;

use super::{Limits, Scratch, decode, sniff};
use crate::model::{Coding, Refusal};

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

fn raw(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

fn zstandard(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).expect("in memory")
}

fn inflate(body: &[u8], said: Option<Coding>) -> Result<Vec<u8>, Refusal> {
    let mut scratch = Scratch::default();
    let coding = sniff(body, said)?;
    decode(body, coding, &Limits::default(), &mut scratch).map(<[u8]>::to_vec)
}

proptest! {
    #[test]
    fn every_coding_gives_the_same_bytes(text in "\\PC{1,400}", cut in 0usize..400) {
        let plain = [b"{", text.as_bytes()].concat();
        let (one, two) = plain.split_at(cut.min(plain.len()));
        let deflate = Some(Coding::Deflate);
        for (body, said) in [
            (plain.clone(), None),
            (gzip(&plain), None),
            (gzip(&plain), Some(Coding::Gzip)),
            ([gzip(one), gzip(two)].concat(), None),
            (zlib(&plain), deflate),
            (raw(&plain), deflate),
            (zstandard(&plain), None),
            ([zstandard(one), zstandard(two)].concat(), None),
        ] {
            prop_assert_eq!(inflate(&body, said), Ok(plain.clone()));
        }
    }

    #[test]
    fn damage_never_passes_silently(cut in 0usize..60, flip in 0usize..60) {
        let plain = br#"{"type":"a"}"#.repeat(20);
        for (body, said) in [(gzip(&plain), None), (zlib(&plain), Some(Coding::Deflate))] {
            let short = &body[..cut.min(body.len() - 1)];
            prop_assert!(inflate(short, said).is_err() || !matches!(sniff(short, said), Ok(Coding::Gzip | Coding::Deflate)));
            let mut bent = body.clone();
            let at = 10 + flip % (body.len() - 10);
            bent[at] ^= 0x55;
            prop_assert_ne!(inflate(&bent, said), Ok([plain.clone(), vec![0]].concat()));
            if said.is_none() {
                prop_assert!(inflate(&bent, said).is_err(), "a bent byte at {}", at);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300), said in 0u8..4) {
        let said = [None, Some(Coding::Gzip), Some(Coding::Deflate), Some(Coding::Zstd)][said as usize];
        drop(inflate(&body, said));
        drop(inflate(&[&[0x1f, 0x8b, 8, 0x1e][..], &body].concat(), None));
        drop(inflate(&[&[0x28, 0xb5, 0x2f, 0xfd][..], &body].concat(), None));
    }
}

#[test]
fn optional_gzip_header_fields_are_skipped() {
    let builder = GzBuilder::new().filename("a").comment("b").extra(vec![1, 2, 3]);
    let mut encoder = builder.write(Vec::new(), Compression::fast());
    encoder.write_all(b"{}").expect("in memory");
    assert_eq!(inflate(&encoder.finish().expect("in memory"), None), Ok(b"{}".to_vec()));
}

#[test]
fn refuses_what_contradicts_trails_or_explodes() {
    let plain = br#"{"type":"a"}"#;
    // Below the absolute cap, which counts first.
    let bomb = vec![b' '; 7 << 20];
    let big = vec![b' '; 9 << 20];
    let noise: Vec<u8> =
        (0u32..9 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let deflate = Some(Coding::Deflate);
    let ratio = Refusal::Ratio(200);
    let large = Refusal::InflatedTooLarge(8 << 20);
    let mismatch = |said, is| Refusal::CodingMismatch { said, is };
    for (name, body, said, refusal) in [
        ("empty", vec![], None, Refusal::Empty),
        ("gzip said, plain sent", plain.to_vec(), Some(Coding::Gzip), mismatch("gzip", "identity")),
        ("zstd said, gzip sent", gzip(plain), Some(Coding::Zstd), mismatch("zstd", "gzip")),
        ("deflate said, gzip sent", gzip(plain), deflate, mismatch("deflate", "gzip")),
        (
            "identity said, gzip sent",
            gzip(plain),
            Some(Coding::Identity),
            mismatch("identity", "gzip"),
        ),
        (
            "gzip, junk behind",
            [gzip(plain), b"junk".to_vec()].concat(),
            None,
            Refusal::Trailing("gzip"),
        ),
        (
            "zstd, junk behind",
            [zstandard(plain), b"junk".to_vec()].concat(),
            None,
            Refusal::Trailing("zstd"),
        ),
        (
            "deflate, junk behind",
            [zlib(plain), b"junk".to_vec()].concat(),
            deflate,
            Refusal::Trailing("deflate"),
        ),
        ("gzip bomb", gzip(&bomb), None, ratio.clone()),
        ("zstd bomb", zstandard(&bomb), None, ratio.clone()),
        ("deflate bomb", zlib(&bomb), deflate, ratio),
        ("plain too large", big, None, large.clone()),
        ("gzip too large", gzip(&noise), None, large.clone()),
        ("zstd too large", zstandard(&noise), None, large),
    ] {
        assert_eq!(inflate(&body, said), Err(refusal), "{name}");
    }
}

#[test]
fn a_zstd_window_over_8_mib_is_refused() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 19).expect("in memory");
    encoder.window_log(27).expect("a legal window");
    encoder.write_all(&br#"{"type":"a"}"#.repeat(100_000)).expect("in memory");
    let body = encoder.finish().expect("in memory");
    assert_eq!(inflate(&body, None), Err(Refusal::Damaged("zstd")));
}

/// What is taken must be a matter of the bytes alone: door and drainer have contexts of their own.
#[test]
fn a_zstd_frame_that_lies_about_its_size_is_refused_whatever_came_before() {
    let before = zstandard(&vec![b'a'; 300_000]);
    for (what, frame) in [
        ("more than it says", &[0x40, 0, 0, 0x3b, 1, 0, 0][..]),
        ("less than it says", &[0x80, 0x58, 9, 0, 0, 0, 8, 0, 0, b'a', 1, 0, 0]),
        ("more than it says, in two blocks", &[0x80, 0x58, 1, 0, 0, 0, 16, 0, 0, 1, 1, 1, 0, 0]),
    ] {
        let body = [&[0x28, 0xb5, 0x2f, 0xfd], frame].concat();
        let mut used = Scratch::default();
        decode(&before, Coding::Zstd, &Limits::default(), &mut used).expect("a good body");
        for scratch in [&mut Scratch::default(), &mut used] {
            let found = decode(&body, Coding::Zstd, &Limits::default(), scratch);
            assert_eq!(found, Err(Refusal::Damaged("zstd")), "{what}");
        }
    }
}

#[test]
fn endless_members_are_refused() {
    let body = gzip(b"").repeat(5_000);
    assert_eq!(inflate(&body, None), Err(Refusal::Damaged("gzip")));
}
