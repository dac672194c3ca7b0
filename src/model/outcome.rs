//! Where an event ended: the closed list that metrics, books and replies are made of.

/// The end of one event. Every event that was received has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Durable: reported by Kafka, or in a synced journal frame. The client got a 200.
    Accepted,
    /// A rule dropped it on purpose; counted, never delivered to tier 2.
    Filtered,
    /// It is not acceptable; the client was told its index and the reason.
    Rejected,
    /// It was in a batch that was not made durable: the client got a 503 and keeps it.
    Refused,
    /// It was in a batch that had been made durable before: the client got the same 200 again.
    Repeated,
    /// It came by pixel and was taken without a promise.
    Unacknowledged,
    /// Its tally was dropped without an end, which is a defect of the gateway.
    Lost,
}

impl Outcome {
    /// All outcomes, in the order of the metric's documentation.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Filtered,
        Self::Rejected,
        Self::Refused,
        Self::Repeated,
        Self::Unacknowledged,
        Self::Lost,
    ];

    /// The metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Filtered => "filtered",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Repeated => "repeated",
            Self::Unacknowledged => "unacknowledged",
            Self::Lost => "lost",
        }
    }
}

impl crate::telemetry::events::Label for Outcome {
    fn label(self) -> &'static str {
        self.name()
    }
}
