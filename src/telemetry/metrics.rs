//! Every metric: its name, its labels and what it says. Nobody else writes a metric's name as text,
//! except the journal and the store, whose own names start with `tidegate_journal_` and
//! `tidegate_store_`.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Counter `{app,type}`: events in batches that were answered.
pub const EVENTS_RECEIVED: &str = "tidegate_events_received_total";
/// Counter `{app,type,outcome}`: the same events by their end; the sums are equal.
pub const EVENTS: &str = "tidegate_events_total";
/// Counter `{reason}`: rejected events by reason.
pub const EVENTS_REJECTED: &str = "tidegate_events_rejected_total";
/// Counter `{rule}`: filtered events by rule.
pub const EVENTS_FILTERED: &str = "tidegate_events_filtered_total";
/// Counter `{route,status}`: answered requests.
pub const REQUESTS: &str = "tidegate_http_requests_total";
/// Counter `{reason}`: refused requests by reason.
pub const REFUSALS: &str = "tidegate_http_refusals_total";
/// Histogram `{route,status}`: seconds from the request's head to its reply.
pub const REQUEST_SECONDS: &str = "tidegate_http_request_seconds";
/// Counter: body bytes as received.
pub const BODY_BYTES: &str = "tidegate_body_bytes_total";
/// Counter: the same after inflating.
pub const INFLATED_BYTES: &str = "tidegate_inflated_bytes_total";
/// Gauge: open client connections.
pub const CONNECTIONS: &str = "tidegate_http_connections";
/// Counter `{reason}`: connections closed at the door, because a limit of them was reached.
pub const CONNECTIONS_REFUSED: &str = "tidegate_http_connections_refused_total";
/// Counter `{reason}`: connections that were ended here, by the limit that they had reached.
pub const CONNECTIONS_ENDED: &str = "tidegate_http_connections_ended_total";
/// Gauge: large bodies that wait to be inflated and split, or are.
pub const ASIDE: &str = "tidegate_large_bodies";
/// Counter `{limit}`: bodies that took too long (`total`), or came too slowly (`rate`).
pub const BODIES_LATE: &str = "tidegate_http_late_bodies_total";
/// Counter `{result}`: TLS handshakes (`full`, `resumed`, `refused`, `late`).
pub const TLS_HANDSHAKES: &str = "tidegate_tls_handshakes_total";
/// Counter `{result}`: times that certificates were read anew (`ok`, `refused`).
pub const TLS_RELOADS: &str = "tidegate_tls_reloads_total";
/// Gauge `{file}`: seconds until a certificate ends; negative when it has ended.
pub const TLS_CERTIFICATE: &str = "tidegate_tls_certificate_seconds";
/// Counter `{class}`: batches refused because their class pauses under pressure.
pub const PAUSED: &str = "tidegate_paused_batches_total";
/// Counter `{cause}`: episodes in which an address was put under the guard's tighter limit.
pub const GUARD_EPISODES: &str = "tidegate_guard_episodes_total";
/// Gauge: addresses under the guard's tighter limit.
pub const GUARDED: &str = "tidegate_guarded_addresses";
/// Gauge: addresses that the limits remember.
pub const ADDRESSES_KNOWN: &str = "tidegate_known_addresses";
/// Counter: addresses that were forgotten because others needed their place.
pub const ADDRESSES_EVICTED: &str = "tidegate_evicted_addresses_total";
/// Gauge: the pressure level, 0 to 3.
pub const PRESSURE: &str = "tidegate_pressure_level";
/// Gauge `{part}`: bytes of the memory budget by who holds them; caches with their caps.
pub const MEMORY: &str = "tidegate_memory_bytes";
/// Gauge: the sum of the parts.
pub const MEMORY_USED: &str = "tidegate_memory_used_bytes";
/// Gauge: the memory budget.
pub const MEMORY_BUDGET: &str = "tidegate_memory_budget_bytes";
/// Histogram: seconds from handing a batch to Kafka to its last delivery report.
pub const KAFKA_ACK_SECONDS: &str = "tidegate_kafka_ack_seconds";
/// Counter `{result}`: delivery reports by result (`ok`, `retry`, `dead`).
pub const KAFKA_REPORTS: &str = "tidegate_kafka_reports_total";
/// Gauge: records inside the Kafka client.
pub const KAFKA_QUEUE: &str = "tidegate_kafka_queue_records";
/// Counter `{cause}`: batches that went to the journal because Kafka did not take them in time.
pub const DIVERTED: &str = "tidegate_diverted_batches_total";
/// Counter `{result}`: retried batches that were recognised (`done`, `joined`, `conflict`).
pub const REPEATED: &str = "tidegate_repeated_batches_total";
/// Counter `{place}`: dead letters by where they went (`topic`, `file`).
pub const DEAD_LETTERS: &str = "tidegate_dead_letters_total";
/// Gauge `{line}`: frames between a drainer and the end of its log.
pub const DRAIN_LAG: &str = "tidegate_drain_lag_frames";
/// Counter `{source}`: batches drained (`memory`, `journal`).
pub const DRAINED: &str = "tidegate_drained_batches_total";
/// Counter: journal frames that no rules text can split any more; their bytes stay in the journal.
pub const UNREADABLE: &str = "tidegate_drain_unreadable_records_total";

/// Gauge `{target}`: 1 while a cluster's or a topic's breaker is not closed.
pub const BREAKER_OPEN: &str = "tidegate_breaker_open";
/// Counter `{target,state}`: transitions of breakers by the state they came to.
pub const BREAKER: &str = "tidegate_breaker_transitions_total";
/// Counter `{cluster}`: producers that were rebuilt after a fatal error.
pub const KAFKA_REBUILDS: &str = "tidegate_kafka_rebuilds_total";
/// Gauge `{topic}`: bytes in a topic's park log.
pub const PARKED_BYTES: &str = "tidegate_parked_bytes";
/// Counter `{topic}`: records that were put into a park log.
pub const PARKED: &str = "tidegate_parked_records_total";
/// Counter `{topic}`: events that were rejected because their topic's park log is full.
pub const LANE_PARKED: &str = "tidegate_lane_parked_events_total";
/// Counter `{line}`: bytes of batches that a drainer has settled.
pub const DRAINED_BYTES: &str = "tidegate_drained_bytes_total";
/// Gauge `{line}`: bytes that are still owed.
pub const DRAIN_BYTES: &str = "tidegate_drain_remaining_bytes";
/// Gauge `{line}`: age of the oldest batch that is still owed, in seconds.
pub const DRAIN_AGE: &str = "tidegate_drain_oldest_seconds";
/// Gauge `{line}`: seconds until nothing is owed at the present rate; -1 while nothing moves.
pub const DRAIN_ETA: &str = "tidegate_drain_eta_seconds";
/// Counter `{watch}`: how often the watch over the pressure or the guard had to begin again.
pub const WATCH_RESTARTS: &str = "tidegate_watch_restarts_total";
/// Counter `{result}`: reloads of the configuration by result (`applied`, `unchanged`, `refused`).
pub const CONFIG_RELOADS: &str = "tidegate_config_reloads_total";
/// Gauge: 1 from the moment that a configuration is refused until a good one has come.
pub const CONFIG_REJECTED: &str = "tidegate_config_rejected";
/// Gauge: the number of configurations that have been in force since the start.
pub const CONFIG_VERSION: &str = "tidegate_config_version";
/// Gauge: when the one in force came, in Unix seconds.
pub const CONFIG_SINCE: &str = "tidegate_config_since_seconds";

const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Installs the process-wide recorder; a second call gives an error, which tests tolerate.
pub fn start() -> Result<PrometheusHandle, String> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .map_err(|error| error.to_string())?;
    let handle = builder.install_recorder().map_err(|error| error.to_string())?;
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram};
    counter!(EVENTS_RECEIVED, "events in answered batches, by app and type");
    counter!(EVENTS, "the same events by their end; the sums are equal");
    counter!(EVENTS_REJECTED, "rejected events by reason");
    counter!(EVENTS_FILTERED, "filtered events by rule");
    counter!(REQUESTS, "answered requests by route and status");
    counter!(REFUSALS, "refused requests by reason");
    describe_histogram!(REQUEST_SECONDS, "seconds from a request's head to its reply");
    counter!(BODY_BYTES, "body bytes as received");
    counter!(INFLATED_BYTES, "body bytes after inflating");
    gauge!(CONNECTIONS, "open client connections");
    counter!(CONNECTIONS_REFUSED, "connections closed at the door because a limit was reached");
    counter!(CONNECTIONS_ENDED, "connections ended here, by the limit that they had reached");
    gauge!(ASIDE, "large bodies that wait to be inflated and split, or are");
    counter!(BODIES_LATE, "bodies that took too long, or came too slowly");
    counter!(TLS_HANDSHAKES, "TLS handshakes by result");
    counter!(TLS_RELOADS, "times that certificates were read anew, by result");
    gauge!(TLS_CERTIFICATE, "seconds until a certificate ends; negative when it has ended");
    counter!(PAUSED, "batches refused because their class pauses under pressure");
    counter!(GUARD_EPISODES, "episodes in which an address was guarded, by cause");
    gauge!(GUARDED, "addresses under the guard's tighter limit");
    gauge!(ADDRESSES_KNOWN, "addresses that the limits remember");
    counter!(ADDRESSES_EVICTED, "addresses forgotten because others needed their place");
    gauge!(PRESSURE, "pressure level: 0 normal, 1 sample bulk, 2 bulk pauses, 3 only critical");
    gauge!(MEMORY, "bytes of the memory budget by who holds them; caches with their caps");
    gauge!(MEMORY_USED, "bytes of the memory budget in use, the sum of its parts");
    gauge!(MEMORY_BUDGET, "the memory budget in bytes");
    describe_histogram!(KAFKA_ACK_SECONDS, "seconds from produce to the last delivery report");
    counter!(KAFKA_REPORTS, "delivery reports by result");
    gauge!(KAFKA_QUEUE, "records inside the kafka client");
    counter!(DIVERTED, "batches that went to the journal instead of kafka, by cause");
    counter!(REPEATED, "retried batches that were recognised");
    counter!(DEAD_LETTERS, "dead letters by where they went");
    gauge!(DRAIN_LAG, "frames between the drainer and the end of the journal");
    counter!(UNREADABLE, "journal frames that cannot be split again");
    counter!(DRAINED, "batches drained, by where they were read from");
    gauge!(BREAKER_OPEN, "1 while a cluster's or a topic's breaker is not closed");
    counter!(BREAKER, "transitions of breakers by the state they came to");
    counter!(KAFKA_REBUILDS, "producers that were rebuilt after a fatal error");
    gauge!(PARKED_BYTES, "bytes in a topic's park log");
    counter!(PARKED, "records that were put into a park log");
    counter!(LANE_PARKED, "events rejected because their topic's park log is full");
    counter!(DRAINED_BYTES, "bytes of batches that a drainer has settled");
    gauge!(DRAIN_BYTES, "bytes that are still owed");
    gauge!(DRAIN_AGE, "age of the oldest batch that is still owed, in seconds");
    counter!(
        WATCH_RESTARTS,
        "how often the watch over the pressure or the guard had to begin again"
    );
    counter!(CONFIG_RELOADS, "reloads of the configuration by result");
    gauge!(
        CONFIG_REJECTED,
        "1 while the latest configuration is refused and an older one in force"
    );
    gauge!(CONFIG_VERSION, "configurations that have been in force since the start");
    gauge!(CONFIG_SINCE, "when the configuration in force came, in Unix seconds");
    gauge!(DRAIN_ETA, "seconds until nothing is owed at the present rate; -1 while it stands");
}
