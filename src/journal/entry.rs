//! What frames hold: a batch with what it owes, or news of what it still owes.
//!
//! In: a [`Draft`] to append, or a payload that was read. Out: [`Encoded`] bytes, or an [`Entry`].
//! Pure. Must never copy a body on its way to the disk.

use bytes::Bytes;

use crate::model::{Facts, Owed, Record};

use super::Error;
use super::frame::{self, HEADER_BYTES, PAYLOAD_BYTES_MAX};

/// Something to append.
#[derive(Debug, Clone, Copy)]
pub enum Draft<'a> {
    /// A batch.
    Record {
        /// Whether somebody still waits for delivery reports, so that it is not to be sent yet.
        pending: bool,
        /// What each cluster has to confirm, in the order of the configuration.
        owed: &'a [Owed],
        /// The batch as it came.
        record: &'a Record,
    },
    /// What a batch still owes.
    Settle {
        /// The seq of its frame.
        record: u64,
        /// The cluster that confirmed.
        cluster: u8,
        /// What that cluster has still to confirm; empty when nothing.
        owed: &'a Owed,
    },
}

/// Something that was read.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A batch.
    Record {
        /// Whether somebody was still waiting for its delivery reports.
        pending: bool,
        /// What each cluster had to confirm when it was written.
        owed: Vec<Owed>,
        /// The batch as it came.
        record: Record,
    },
    /// What a batch still owed at that moment.
    Settle {
        /// The seq of its frame.
        record: u64,
        /// The cluster that confirmed.
        cluster: u8,
        /// What that cluster had still to confirm.
        owed: Owed,
    },
}

/// An entry as bytes, but for its seq.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) kind: u8,
    /// Room for the frame header, then the payload in front of the body.
    pub(super) head: Vec<u8>,
    pub(super) body: Bytes,
    pub(super) payload_bytes: u32,
    pub(super) payload_crc: u32,
}

/// Why a payload with the right checksum cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// It ends too early.
    #[error("payload ends too early")]
    Truncated,
    /// The facts are wrong.
    #[error(transparent)]
    Facts(#[from] crate::model::facts::Error),
}

const PENDING: u8 = 1;

impl Draft<'_> {
    /// Writes the payload and its checksum, on the caller's thread.
    pub(super) fn encode(&self) -> Result<Encoded, Error> {
        let mut head = Vec::with_capacity(512);
        head.resize(HEADER_BYTES, 0);
        let (kind, body) = match self {
            Self::Record { pending, owed, record } => {
                let clusters = u8::try_from(owed.len()).map_err(|_| Error::Clusters(owed.len()))?;
                head.extend_from_slice(&[if *pending { PENDING } else { 0 }, clusters]);
                for cluster in *owed {
                    cluster.encode(&mut head);
                }
                let length_at = head.len();
                head.extend_from_slice(&[0; 4]);
                record.facts.encode(&mut head);
                let length = u32::try_from(head.len() - length_at - 4).unwrap_or(u32::MAX);
                head[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
                (frame::RECORD, record.body.clone())
            }
            Self::Settle { record, cluster, owed } => {
                head.extend_from_slice(&record.to_le_bytes());
                head.push(*cluster);
                owed.encode(&mut head);
                (frame::SETTLE, Bytes::new())
            }
        };
        let bytes = head.len() - HEADER_BYTES + body.len();
        let payload_bytes = u32::try_from(bytes)
            .ok()
            .filter(|_| bytes <= PAYLOAD_BYTES_MAX)
            .ok_or(Error::TooLarge { bytes: bytes as u64, bytes_max: PAYLOAD_BYTES_MAX as u64 })?;
        let payload_crc = crc32c::crc32c_append(crc32c::crc32c(&head[HEADER_BYTES..]), &body);
        Ok(Encoded { kind, head, body, payload_bytes, payload_crc })
    }
}

impl Entry {
    /// Reads a payload; `None` for kinds that this program does not know, which never owe anything.
    pub fn decode(kind: u8, payload: &Bytes) -> Result<Option<Self>, Undecodable> {
        match kind {
            frame::RECORD => decode_record(payload).map(Some),
            frame::SETTLE => decode_settle(payload).map(Some),
            _ => Ok(None),
        }
    }
}

fn decode_record(payload: &Bytes) -> Result<Entry, Undecodable> {
    let ([flags, clusters], mut rest) =
        payload.split_first_chunk::<2>().ok_or(Undecodable::Truncated)?;
    let mut owed = Vec::with_capacity(usize::from(*clusters));
    for _ in 0..*clusters {
        let (cluster, behind) = Owed::decode(rest).ok_or(Undecodable::Truncated)?;
        owed.push(cluster);
        rest = behind;
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Undecodable::Truncated)?;
    let (facts, body) = rest
        .split_at_checked(u32::from_le_bytes(*length) as usize)
        .ok_or(Undecodable::Truncated)?;
    let facts = Facts::decode(facts)?;
    let body = payload.slice(payload.len() - body.len()..);
    Ok(Entry::Record { pending: flags & PENDING != 0, owed, record: Record { facts, body } })
}

fn decode_settle(payload: &Bytes) -> Result<Entry, Undecodable> {
    let (record, rest) = payload.split_first_chunk::<8>().ok_or(Undecodable::Truncated)?;
    let (cluster, rest) = rest.split_first().ok_or(Undecodable::Truncated)?;
    let (owed, _) = Owed::decode(rest).ok_or(Undecodable::Truncated)?;
    Ok(Entry::Settle { record: u64::from_le_bytes(*record), cluster: *cluster, owed })
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    fn payload(draft: Draft<'_>) -> (u8, Bytes) {
        let encoded = draft.encode().unwrap();
        let whole = [&encoded.head[HEADER_BYTES..], &encoded.body].concat();
        assert_eq!(crc32c::crc32c(&whole), encoded.payload_crc);
        assert_eq!(whole.len(), encoded.payload_bytes as usize);
        (encoded.kind, Bytes::from(whole))
    }

    #[test]
    fn records_survive_encoding_and_refuse_truncation() {
        let owed = [[0, 1, 70].into_iter().collect::<Owed>(), Owed::default()];
        let sent = record(7, b"the body");
        let (kind, bytes) = payload(Draft::Record { pending: true, owed: &owed, record: &sent });
        let Ok(Some(Entry::Record { pending: true, owed: back, record })) =
            Entry::decode(kind, &bytes)
        else {
            panic!("not a record")
        };
        assert_eq!((back[0].clone(), back[1].is_empty()), (owed[0].clone(), true));
        assert_eq!((record.facts, &record.body[..]), (sent.facts, &b"the body"[..]));
        for end in 0..bytes.len() - sent.body.len() {
            assert!(Entry::decode(kind, &bytes.slice(..end)).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn settlements_survive_encoding_and_refuse_truncation() {
        let owed: Owed = [5].into_iter().collect();
        let (kind, bytes) = payload(Draft::Settle { record: 99, cluster: 1, owed: &owed });
        let back = Entry::decode(kind, &bytes).unwrap().unwrap();
        assert!(matches!(back, Entry::Settle { record: 99, cluster: 1, owed } if owed.contains(5)));
        for end in 0..bytes.len() {
            assert!(Entry::decode(kind, &bytes.slice(..end)).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn settlement_bytes_are_pinned() {
        let owed: Owed = [0, 9].into_iter().collect();
        let (kind, bytes) = payload(Draft::Settle { record: 258, cluster: 1, owed: &owed });
        assert_eq!(kind, 2);
        assert_eq!(bytes[..], [2, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 2, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn refuses_a_body_over_the_limit() {
        let body = vec![0; PAYLOAD_BYTES_MAX];
        let draft = Draft::Record { pending: false, owed: &[], record: &record(1, &body) };
        assert!(matches!(draft.encode(), Err(Error::TooLarge { .. })));
    }
}
