//! A request that was let in: who sent it, and its body as it came.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::{Charge, Coding, KeyKind, Record};

/// Who is behind a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The application of the write key.
    pub app: Arc<str>,
    /// The sort of key.
    pub kind: KeyKind,
    /// The class of batches that name none.
    pub class: u8,
    /// Where the request came from.
    pub address: IpAddr,
    /// `User-Agent`, cut at 256 bytes.
    pub user_agent: Box<str>,
}

/// A batch at the gateway's door, let in.
#[derive(Debug)]
pub struct Admitted {
    /// Who sent it.
    pub caller: Caller,
    /// The body as received.
    pub body: Bytes,
    /// What `Content-Encoding` says.
    pub said: Option<Coding>,
    /// `class` of the query.
    pub class: Option<u8>,
    /// `attempt` of the query; 0 when absent.
    pub attempt: u32,
    /// `sent` of the query.
    pub sent_ms: Option<i64>,
    /// `wait` of the query.
    pub wait_ms: Option<u64>,
    /// When the whole body had arrived.
    pub arrival_ms: i64,
    /// Whether the client was promised anything; pixels are not.
    pub promised: bool,
    /// Memory taken for it.
    pub charge: Charge,
}

impl Admitted {
    /// As it was before `record` was made of it.
    #[must_use]
    pub fn again(mut self, record: Record, charge: Charge) -> Self {
        self.body = record.body;
        self.caller.user_agent = record.facts.user_agent;
        self.charge = charge;
        self
    }
}
