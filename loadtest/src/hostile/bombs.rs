//! Bodies made to cost their reader more than their sender: they inflate without end, or many
//! times, or ask for a huge window, or come in tiny pieces.
//!
//! In: nothing. Out: bytes, and the statuses that a gateway may answer them with. They are made
//! without inflating anything: a compressed stretch of blanks is repeated.

use std::io::Write as _;

use anyhow::Context as _;
use flate2::write::GzEncoder;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// One sort of bomb.
#[derive(Debug, Clone)]
pub struct Bomb {
    /// What it is.
    pub name: &'static str,
    /// Its bytes on the wire: a whole request.
    pub request: Vec<u8>,
    /// What it may be answered; 503 as well, when many of them have filled the memory budget.
    pub statuses: &'static [u16],
}

/// The largest body that a gateway takes by default.
pub const BODY_BYTES_MAX: usize = 900 << 10;
/// What a stretch of blanks inflates to.
const STRETCH_BYTES: usize = 1 << 20;
/// A gzip member's header without options.
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// All sorts, for a target such as `/v1/batch?key=wk_web`.
pub fn all(target: &str) -> anyhow::Result<Vec<Bomb>> {
    let whole = |body: &[u8]| request(target, "", body);
    let endless = endless(BODY_BYTES_MAX)?;
    let sorts: [(_, Vec<u8>, &'static [u16]); 9] = [
        ("gzip 1000:1 of 900 KiB", whole(&endless), &[413, 503]),
        ("gzip 1000:1 of 1 MiB", whole(&self::endless(1 << 20)?), &[413, 503]),
        ("gzip 1000:1 in chunks of 16 bytes", in_chunks(target, &endless), &[413, 503]),
        ("gzip of 900 members of 1 MiB", whole(&members(900)?), &[413, 503]),
        ("gzip of 10,000 empty members", whole(&gzip(b"")?.repeat(10_000)), &[400, 503]),
        ("gzip ten times over", whole(&nested(10)?), &[200, 503]),
        ("zstd 1000:1 and more", whole(&zstandard(64)?), &[413, 503]),
        ("zstd with a window of 2 GiB", whole(&HUGE_WINDOW), &[400, 503]),
        ("plain 900 KiB of brackets", whole(&vec![b'['; BODY_BYTES_MAX]), &[200, 400, 503]),
    ];
    let bombs = sorts.into_iter();
    Ok(bombs.map(|(name, request, statuses)| Bomb { name, request, statuses }).collect())
}

/// What ordinary clients send, to compare with.
pub fn ordinary(target: &str) -> anyhow::Result<Bomb> {
    let event = "{\"type\":\"page.view\",\"props\":{\"path\":\"/home\",\"n\":1}}\n";
    let request = request(target, "", &gzip(event.repeat(100).as_bytes())?);
    Ok(Bomb { name: "an ordinary batch", request, statuses: &[200] })
}

/// A request with these further header lines.
pub fn request(target: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: gateway.example.com\r\n{lines}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// One gzip member of so many bytes that inflates a thousand times, and is cut off at the end.
fn endless(bytes: usize) -> anyhow::Result<Vec<u8>> {
    let stretch = stretch()?;
    let mut body = GZIP.to_vec();
    while body.len() < bytes {
        body.extend_from_slice(&stretch);
    }
    body.truncate(bytes);
    Ok(body)
}

/// A piece of a deflate stream that stands for a mebibyte of blanks, wherever it stands.
fn stretch() -> anyhow::Result<Vec<u8>> {
    let mut engine = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(64 << 10);
    // A full flush ends at a byte and refers to nothing before it.
    engine.compress_vec(&vec![b' '; STRETCH_BYTES], &mut out, FlushCompress::Full)?;
    anyhow::ensure!(engine.total_in() == STRETCH_BYTES as u64, "room for the whole stretch");
    Ok(out)
}

/// Whole members with right checksums, each a mebibyte of blanks.
fn members(count: usize) -> anyhow::Result<Vec<u8>> {
    let plain = vec![b' '; STRETCH_BYTES];
    let mut crc = Crc::new();
    crc.update(&plain);
    let mut member = GZIP.to_vec();
    member.extend_from_slice(&stretch()?);
    // An empty final block.
    member.extend_from_slice(&[3, 0]);
    member.extend_from_slice(&crc.sum().to_le_bytes());
    member.extend_from_slice(&crc.amount().to_le_bytes());
    let fits = BODY_BYTES_MAX / member.len();
    Ok(member.repeat(count.min(fits)))
}

fn nested(times: usize) -> anyhow::Result<Vec<u8>> {
    let first = gzip(&vec![b' '; 8 << 20])?;
    (1..times).try_fold(first, |body, _| gzip(&body))
}

fn gzip(plain: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    encoder.finish().context("in memory")
}

fn zstandard(mib: usize) -> anyhow::Result<Vec<u8>> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3)?;
    let line = b"{\"type\":\"bomb\",\"props\":{\"x\":\"                               \"}}\n";
    for _ in 0..mib << 14 {
        encoder.write_all(line)?;
    }
    encoder.finish().context("in memory")
}

/// A frame that asks for 2^31 bytes of window, with one raw block of a blank.
const HUGE_WINDOW: [u8; 10] = [0x28, 0xb5, 0x2f, 0xfd, 0, (31 - 10) << 3, 0x09, 0, 0, b' '];

fn in_chunks(target: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nHost: gateway.example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.chunks(16) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_types, reason = "counts what a bomb inflates to, member by member")]
    fn they_inflate_as_much_as_they_say() {
        let body = endless(BODY_BYTES_MAX).unwrap();
        let mut plain = 0;
        let mut reader = flate2::read::GzDecoder::new(&body[..]);
        let mut room = vec![0; 1 << 20];
        // The stream is cut off: what was read until then counts.
        while let Ok(read @ 1..) = reader.read(&mut room) {
            plain += read;
        }
        assert!(plain > 900 * BODY_BYTES_MAX, "{plain} of {}", body.len());
        let members = members(900).unwrap();
        let mut last = Vec::new();
        let one = members.len() / 800;
        assert!(one < 1_200, "a member of {one} bytes");
        flate2::read::GzDecoder::new(&members[..]).read_to_end(&mut last).unwrap();
        assert_eq!(last.len(), STRETCH_BYTES);
    }

    #[test]
    fn every_sort_is_a_request() {
        for bomb in all("/v1/batch").unwrap() {
            assert!(bomb.request.starts_with(b"POST /v1/batch HTTP/1.1\r\n"), "{}", bomb.name);
            let limit = 6 * BODY_BYTES_MAX;
            assert!(bomb.request.len() < limit, "{}: {}", bomb.name, bomb.request.len());
        }
    }
}
