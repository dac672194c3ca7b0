//! Bodies under every content coding, as clients make them.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

pub(crate) fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

pub(crate) fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

pub(crate) fn zstandard(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).expect("in memory")
}

/// A frame that asks its reader for a window of 128 MiB.
pub(crate) fn zstandard_with_a_huge_window(plain: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 19).expect("in memory");
    encoder.window_log(27).expect("a legal window");
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}
