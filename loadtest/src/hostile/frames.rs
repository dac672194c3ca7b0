//! HTTP/2 frames as bytes, the ones that an attacker needs, and the ones that come back.
//!
//! Written by hand (RFC 9113, RFC 7541): no honest library sends what is sent here.

/// What a client begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub const DATA: u8 = 0;
/// Headers that open a stream.
pub const HEADERS: u8 = 1;
/// A stream's end, by force.
pub const RST_STREAM: u8 = 3;
/// Settings.
pub const SETTINGS: u8 = 4;
/// Are you there.
pub const PING: u8 = 6;
/// The connection's end.
pub const GOAWAY: u8 = 7;
/// More headers.
pub const CONTINUATION: u8 = 9;

/// The stream's last frame.
pub const END_STREAM: u8 = 1;
/// The last frame of its headers.
pub const END_HEADERS: u8 = 4;
/// The answer to settings or a ping.
pub const ACK: u8 = 1;

/// Bytes in front of a frame's payload.
pub const HEAD_BYTES: usize = 9;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Kind, flags and length of a frame's head.
pub fn head(bytes: &[u8; HEAD_BYTES]) -> (u8, u8, usize) {
    let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
    (bytes[3], bytes[4], usize::try_from(length).unwrap_or(usize::MAX))
}

/// A setting.
pub fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// The headers of a request, without Huffman codes and without the table that grows.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    // Names by their number in the static table: :method 2, :scheme 7 is https, :authority 1.
    literal(&mut block, 2, method);
    block.push(0x80 | 7);
    literal(&mut block, 1, "gateway.example.com");
    literal(&mut block, 4, path);
    block
}

/// A literal that is not indexed, with an indexed name.
fn literal(block: &mut Vec<u8>, name: u8, value: &str) {
    block.push(name);
    block.push(u8::try_from(value.len()).unwrap_or(0));
    block.extend_from_slice(value.as_bytes());
}

/// A literal with a name of its own.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0, u8::try_from(name.len()).unwrap_or(0)];
    block.extend_from_slice(name.as_bytes());
    block.push(u8::try_from(value.len()).unwrap_or(0));
    block.extend_from_slice(value.as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_the_standard_has_them() {
        let ping = frame(PING, ACK, 0, &[7; 8]);
        assert_eq!(ping, [0, 0, 8, 6, 1, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7]);
        assert_eq!(head(ping.first_chunk().unwrap()), (PING, ACK, 8));
        assert_eq!(setting(4, 65_535), [0, 4, 0, 0, 255, 255]);
        let block = request("GET", "/");
        assert_eq!(block[..6], [2, 3, b'G', b'E', b'T', 0x87]);
    }
}
