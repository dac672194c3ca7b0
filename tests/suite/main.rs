//! The integration suite: one binary, so that the tests link once and share one Kafka broker.
//!
//! Every mod is one promise to somebody outside of this project. What needs no network, no disk and
//! no second stage is tested below the code that it is about.

/// A table of bad and odd requests: status, reason, and what was still accepted.
mod requests;

/// The same events under every content coding give the same bytes.
mod codings;

/// Formats that are promises, pinned to files in `tests/golden/`.
mod golden;

/// The embedded store: partitions, restarts, `kill -9`, files that somebody removed.
mod embedded;

/// Batches that come again: the same answer, stored once, and 409 for other bytes.
mod retries;

/// A real Kafka: topics, both tiers byte by byte, diverted batches, an absent broker.
mod kafka;

/// TLS, mutual TLS and SASL towards a real Kafka; a wrong password.
mod kafka_security;

/// A topic that is gone, a cluster that is gone, a producer that is dead.
mod faults;

/// `received = accepted + filtered + rejected`, and every metric that is named.
mod books;

/// `tidegate ledger`: what SDKs report and what was written, side by side, with its exit codes.
mod ledger;

/// The same with real SDKs, while they and the gateway are killed, stalled and limited.
mod ledger_kills;

/// HTTP itself: CORS, methods, ETag, pixel, lies about lengths, hang-ups, the graceful stop.
mod edge;

/// Connections: deadlines, caps, proxies, listeners, and what ends them.
mod connections;

/// TLS: who is shown what, who gets in, what is resumed, and certificates that change.
mod tls;

/// Certificates that change while clients come and go.
mod swaps;

/// The config centre: documents per app, kill switch, versions, tags.
mod documents;

/// Another configuration while it runs: all of it or nothing, under load, and who may order it.
mod reload;

/// A secret in every option that holds one is shown nowhere.
mod secrets;

/// Memory and pressure: bulk pauses first, critical last, everybody is told, and it ends by itself.
mod pressure;

/// Real SDKs under a gateway's pressure: bulk is sampled, and the weights tell how much it was.
mod degradation;

/// Rates, quotas, keys and the guard: every refusal, and when to come back.
mod limits;

/// `config/tidegate.toml` against the code's defaults; environment and errors.
mod reference;

/// Random bytes at the front door.
mod arbitrary;

/// Every parser of outside bytes with the fuzzer's seeds and the cases that it found.
mod parsers;

/// The split and `serde_json` take the same events and refuse the others for the same reasons.
mod differential;

/// Two requests in one write, told apart by nobody but us: none of the second is ever parsed.
mod smuggling;

/// Bodies that inflate without end, many at a time: refused, and their memory comes back.
mod bombs;

/// Keys, certificates and forged headers in a table: who gets in, and as whom.
mod credentials;

/// `config/openapi.json` against the code's closed lists.
mod openapi;

/// The house rules: floors, fences, sizes, words.
mod tidy;

/// Clients, gateways and brokers for the tests above.
mod support;
