//! Coded bodies: never a panic, never a byte over the limits, and what is taken is what another
//! decoder makes of the same bytes.
//!
//! A fuzzer does not guess checksums, so members are also built around whatever it sends.

use std::cell::RefCell;
use std::io::Read;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use tidegate::decode::{Limits, Scratch, decode, sniff};
use tidegate::model::{Coding, Refusal};

/// Small, so that the limits are met often.
const LIMITS: Limits =
    Limits { inflated_bytes_max: 256 << 10, ratio_max: 50, ratio_free_bytes: 16 << 10 };

/// More than the limit, so that a reference never inflates to no end.
const REFERENCE_MAX: u64 = LIMITS.inflated_bytes_max + 1;

thread_local! {
    /// Used for one body after the other, as a worker does.
    static USED: RefCell<Scratch> = RefCell::default();
}

/// A body and what its header said: the first byte chooses that.
pub fn sniffed(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let said = [
        None,
        Some(Coding::Gzip),
        Some(Coding::Deflate),
        Some(Coding::Zstd),
        Some(Coding::Identity),
    ];
    let said = said.get(usize::from(*first) % said.len()).copied().flatten();
    if let Ok(coding) = sniff(body, said) {
        assert!(said.is_none_or(|said| said == coding), "{said:?} became {coding:?}");
        let plain = inflate(body, coding);
        if coding == Coding::Identity && body.len() as u64 <= LIMITS.inflated_bytes_max {
            assert_eq!(plain.as_deref(), Ok(body), "plain bytes changed");
        }
    }
}

/// A gzip body as it is, and members built around it.
pub fn gzip(data: &[u8]) {
    taken_as(inflate(data, Coding::Gzip), MultiGzDecoder::new(data));
    // The first byte says how many members; each holds the same deflate stream.
    let Some((count, stream)) = data.split_first() else { return };
    let Some((plain, used)) = reference(stream) else { return };
    let member = member(stream.get(..used).unwrap_or_default(), &plain);
    let count = usize::from(*count % 4) + 1;
    let whole = member.repeat(count);
    let wanted = plain.repeat(count);
    match inflate(&whole, Coding::Gzip) {
        Ok(found) => assert!(found == wanted, "{count} members give other bytes"),
        Err(refusal) => assert!(is_limit(&refusal), "a good gzip body is refused: {refusal}"),
    }
    let junk = [&whole[..], b"junk"].concat();
    assert!(inflate(&junk, Coding::Gzip).is_err(), "junk behind the last member is taken");
    let cut = whole.get(..whole.len() - 1).unwrap_or_default();
    assert!(inflate(cut, Coding::Gzip).is_err(), "a member that is cut short is taken");
}

/// Deflate without a header, as some clients send it.
pub fn deflate(data: &[u8]) {
    let looks_like_zlib = matches!(data, [method, flags, ..]
        if method & 0x0f == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0);
    if !looks_like_zlib {
        taken_as(inflate(data, Coding::Deflate), DeflateDecoder::new(data));
    }
}

/// Deflate with zlib's header and checksum.
pub fn zlib(data: &[u8]) {
    let Some((plain, used)) = reference(data) else { return };
    let mut body = vec![0x78, 0x9c];
    body.extend_from_slice(data.get(..used).unwrap_or_default());
    body.extend_from_slice(&adler(&plain).to_be_bytes());
    taken_as(inflate(&body, Coding::Deflate), ZlibDecoder::new(&body[..]));
    match inflate(&body, Coding::Deflate) {
        Ok(found) => assert!(found == plain, "zlib gives other bytes"),
        Err(refusal) => assert!(is_limit(&refusal), "a good zlib body is refused: {refusal}"),
    }
    if let Some(last) = body.last_mut() {
        *last ^= 1;
    }
    assert!(inflate(&body, Coding::Deflate).is_err(), "a wrong checksum is taken");
}

/// Zstandard frames.
pub fn zstandard(data: &[u8]) {
    let mut whole = vec![0x28, 0xb5, 0x2f, 0xfd];
    whole.extend_from_slice(data);
    for body in [data, &whole] {
        let Ok(found) = inflate(body, Coding::Zstd) else { continue };
        let decoder = zstd::stream::read::Decoder::new(body).expect("a context");
        taken_as(Ok(found), decoder);
    }
}

/// Inflates with a scratch space that is new and with one that was used: they must not differ.
fn inflate(body: &[u8], coding: Coding) -> Result<Vec<u8>, Refusal> {
    let mut scratch = Scratch::default();
    let fresh = decode(body, coding, &LIMITS, &mut scratch).map(<[u8]>::to_vec);
    USED.with_borrow_mut(|scratch| {
        let used = decode(body, coding, &LIMITS, scratch);
        // Which fault of a refused body is met first depends on the room that is there already,
        // so that only the refusal itself is compared.
        assert!(used.ok() == fresh.as_deref().ok(), "what came before shows");
    });
    if let Ok(plain) = &fresh {
        let bytes = plain.len() as u64;
        assert!(bytes <= LIMITS.inflated_bytes_max, "{bytes} bytes");
        let allowed = (body.len() as u64 * LIMITS.ratio_max).max(LIMITS.ratio_free_bytes);
        assert!(coding == Coding::Identity || bytes <= allowed, "{bytes} of {}", body.len());
    }
    fresh
}

/// What was taken is what the other decoder gives, to the last byte.
fn taken_as(found: Result<Vec<u8>, Refusal>, other: impl Read) {
    let Ok(found) = found else { return };
    let mut wanted = Vec::new();
    let read = other.take(REFERENCE_MAX).read_to_end(&mut wanted);
    assert!(read.is_ok(), "another decoder refuses what was taken: {read:?}");
    assert!(found == wanted, "another decoder gives other bytes");
}

/// What a raw deflate stream holds, and how long it is; nothing if it is none or large.
fn reference(stream: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut plain = Vec::new();
    let mut decoder = DeflateDecoder::new(stream);
    (&mut decoder).take(REFERENCE_MAX).read_to_end(&mut plain).ok()?;
    let large = plain.len() as u64 >= REFERENCE_MAX;
    (!large).then(|| (plain, usize::try_from(decoder.total_in()).unwrap_or(0)))
}

fn member(stream: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    member.extend_from_slice(stream);
    member.extend_from_slice(&crc32fast::hash(plain).to_le_bytes());
    let length = u32::try_from(plain.len()).unwrap_or(u32::MAX);
    member.extend_from_slice(&length.to_le_bytes());
    member
}

/// RFC 1950's checksum, by its definition.
fn adler(plain: &[u8]) -> u32 {
    let (mut one, mut other) = (1, 0);
    for byte in plain {
        one = (one + u32::from(*byte)) % 65_521;
        other = (other + one) % 65_521;
    }
    other << 16 | one
}

fn is_limit(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::InflatedTooLarge(_) | Refusal::Ratio(_))
}
