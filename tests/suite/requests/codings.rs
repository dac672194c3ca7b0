//! Content codings: damaged, contradicted, stacked, and bodies that inflate to no end.

use super::{OK, Row, TARGET};
use crate::support::{Request, pack};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = headers();
    rows.extend(damaged());
    rows.extend(bombs());
    rows.extend(disguised());
    rows
}

fn said(coding: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post(TARGET, body).header("Content-Encoding", coding)
}

fn headers() -> Vec<Row> {
    let two = said("gzip", OK).header("Content-Encoding", "gzip");
    let coding = |name, request| Row::refused(name, request, 415, "unsupported_coding");
    let mismatch = |name, request| Row::refused(name, request, 400, "coding_mismatch");
    let gzip = pack::gzip(OK.as_bytes());
    vec![
        coding("Content-Encoding: br", said("br", OK)),
        coding("Content-Encoding: gzip, gzip", said("gzip, gzip", OK)),
        coding("two Content-Encoding headers", two),
        mismatch("gzip said, plain sent", said("gzip", OK)),
        mismatch("zstd said, gzip sent", said("zstd", gzip.clone())),
        mismatch("identity said, gzip sent", said("identity", gzip.clone())),
        mismatch("deflate said, gzip sent", said("deflate", gzip)),
        mismatch("deflate said, plain sent", said("deflate", OK)),
    ]
}

fn damaged() -> Vec<Row> {
    let plain = OK.repeat(20);
    let (gzip, zstd) = (pack::gzip(plain.as_bytes()), pack::zstandard(plain.as_bytes()));
    let zlib = pack::zlib(plain.as_bytes());
    let cut = |body: &[u8]| body[..body.len() - 5].to_vec();
    let mut bent = gzip.clone();
    let checksum_at = bent.len() - 8;
    bent[checksum_at] ^= 1;
    let behind = |body: &[u8]| [body, b"junk"].concat();
    let second_cut = [gzip.clone(), cut(&gzip)].concat();
    let plain_post = |body: Vec<u8>| Request::post(TARGET, body);
    let damaged = |name, request| Row::refused(name, request, 400, "damaged");
    let trailing = |name, request| Row::refused(name, request, 400, "trailing_bytes");
    vec![
        damaged("gzip cut short", plain_post(cut(&gzip))),
        damaged("gzip header alone", plain_post(gzip[..10].to_vec())),
        damaged("gzip with a wrong checksum", plain_post(bent)),
        damaged("gzip whose second member is cut short", plain_post(second_cut)),
        damaged("gzip of 2,000 empty members", plain_post(pack::gzip(b"").repeat(2_000))),
        damaged("zstd cut short", plain_post(cut(&zstd))),
        damaged("deflate cut short", said("deflate", cut(&zlib))),
        trailing("gzip, then junk", plain_post(behind(&gzip))),
        trailing("zstd, then junk", plain_post(behind(&zstd))),
        trailing("deflate, then junk", said("deflate", behind(&zlib))),
        Row::refused("gzip of nothing", plain_post(pack::gzip(b"")), 400, "empty"),
    ]
}

fn bombs() -> Vec<Row> {
    let blanks = |mib: usize| vec![b' '; mib << 20];
    // Half of it is noise, so that it stays far below the ratio and crosses the absolute limit.
    let some_noise = |n: u32| format!("{:04x}          ", n.wrapping_mul(2_654_435_761) >> 16);
    let noisy = (0..640_000).map(some_noise).collect::<Vec<_>>().concat();
    let large = pack::zstandard(noisy.as_bytes());
    assert!(noisy.len() > 8 << 20 && large.len() < 900 << 10, "{} {}", noisy.len(), large.len());
    let wide = pack::zstandard_with_a_huge_window(&OK.repeat(100_000).into_bytes());
    let post = |body: Vec<u8>| Request::post(TARGET, body);
    vec![
        Row::refused("gzip of 7 MiB of blanks", post(pack::gzip(&blanks(7))), 413, "ratio"),
        Row::refused("zstd of 64 MiB of blanks", post(pack::zstandard(&blanks(64))), 413, "ratio"),
        Row::refused(
            "deflate of 7 MiB of blanks",
            said("deflate", pack::zlib(&blanks(7))),
            413,
            "ratio",
        ),
        Row::refused(
            "gzip of 64 MiB of blanks",
            post(pack::gzip(&blanks(64))),
            413,
            "inflated_too_large",
        ),
        Row::refused("body that inflates to 9 MiB", post(large), 413, "inflated_too_large"),
        Row::refused("zstd with a window of 128 MiB", post(wide), 400, "damaged"),
    ]
}

/// Bodies that are not what they seem are text like any other: no event, and nothing worse.
fn disguised() -> Vec<Row> {
    let twice = pack::gzip(&pack::gzip(OK.as_bytes()));
    vec![
        Row::taken("gzip within gzip", twice, &[(0, "invalid_utf8")], 0),
        Row::taken(
            "zlib without a header that says so",
            [0x78, 0x9c, 1, 2],
            &[(0, "invalid_utf8")],
            0,
        ),
    ]
}
