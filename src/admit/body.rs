//! Reads a body under its limits: bytes, time, and a least rate. Large ones are read in turns.
//!
//! Out comes a copy of its own, even of a single frame: a frame is a slice of the connection's read
//! buffer and pins all of it, which the budget would not know (measured: 6.5 KiB more for each tiny
//! batch that waits for Kafka). The rate is that of the whole body up to now, so that a byte now
//! and then, which would reset a limit of silence, gains nothing.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};

use super::Settings;
use crate::model::budget::LARGE_BODY_BYTES;
use crate::model::{Charge, Refusal};
use crate::telemetry::metrics as names;

/// Reads to the end, or refuses; the caller closes the connection after a refusal. What is `charge`d
/// grows with a body that did not tell its length.
pub(super) async fn read(
    body: &mut Incoming,
    announced: Option<u64>,
    settings: &Settings,
    charge: &mut Charge,
    turns: &Turns,
) -> Result<Bytes, Refusal> {
    let bytes_max = settings.body_bytes_max;
    let bytes_max_here = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let announced = usize::try_from(announced.unwrap_or(0)).unwrap_or(usize::MAX);
    // Who announces much and sends little touches little: new pages are what costs time.
    let mut all: Vec<u8> = Vec::with_capacity(announced.min(bytes_max_here).min(TURN_BYTES));
    let mut pace = Pace::new(settings, Instant::now());
    let mut spent = 0;
    if announced as u64 > LARGE_BODY_BYTES {
        turns.wait(&mut pace).await;
    }
    let mut timer = pin!(tokio::time::sleep_until(pace.due(0)));
    while let Some(frame) = next(body, timer.as_mut(), &pace, all.len()).await? {
        let Ok(more) = frame.map_err(|_| Refusal::BodyBroken)?.into_data() else {
            // Trailers carry nothing that the protocol knows.
            continue;
        };
        let bytes = all.len() + more.len();
        if bytes > bytes_max_here {
            return Err(Refusal::BodyTooLarge(bytes_max));
        }
        if bytes > all.capacity() {
            // Doubled as usual, but never beyond what may come.
            let most = if announced == 0 { bytes_max_here } else { announced.max(bytes) };
            let capacity = all.capacity().saturating_mul(2).clamp(bytes, most);
            if capacity as u64 > charge.bytes() && !charge.resize(capacity as u64) {
                return Err(Refusal::Busy);
            }
            all.reserve_exact(capacity - all.len());
        }
        all.extend_from_slice(&more);
        spent += more.len() + FRAME_BYTES;
        if spent > TURN_BYTES {
            spent = 0;
            turns.wait(&mut pace).await;
        }
    }
    // Room that nothing came for goes back, so that the body's length is what it holds.
    Ok(Bytes::from(all.into_boxed_slice()))
}

/// What is read of a large body before others go on.
const TURN_BYTES: usize = 64 << 10;
/// What a frame counts for beside its bytes: a body in chunks of 16 bytes costs 60 times as much.
const FRAME_BYTES: usize = 1 << 10;
/// Large bodies that go on each time that everybody else has been served.
const TURNS: usize = 4;

/// The line in which large bodies wait for their next turn, so that many of them make each other
/// slow and nobody else. Who is in it waits for processors, never for a client.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(TURNS))
    }
}

impl Turns {
    /// Lets everybody else go first; the time that it takes is not the client's.
    async fn wait(&self, pace: &mut Pace) {
        let since = Instant::now();
        let _turn = self.0.acquire().await;
        tokio::task::yield_now().await;
        pace.begun += since.elapsed();
    }
}

/// The next frame, unless it is too late for the `bytes` that have come.
async fn next(
    body: &mut Incoming,
    mut timer: Pin<&mut Sleep>,
    pace: &Pace,
    bytes: usize,
) -> Result<Option<Result<Frame<Bytes>, hyper::Error>>, Refusal> {
    poll_fn(|cx| {
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
            return Poll::Ready(Ok(frame));
        }
        // Bytes only ever move it back, so it is moved when it goes off and not with each frame.
        while timer.as_mut().poll(cx).is_ready() {
            let due = pace.due(bytes);
            if due <= Instant::now() {
                return Poll::Ready(Err(pace.late(due)));
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    })
    .await
}

/// Until when how much has to have come.
struct Pace {
    begun: Instant,
    total: Duration,
    grace: Duration,
    rate_min: u64,
}

impl Pace {
    fn new(settings: &Settings, begun: Instant) -> Self {
        Self {
            begun,
            total: Duration::from_millis(settings.body_ms),
            grace: Duration::from_millis(settings.body_grace_ms),
            rate_min: settings.body_rate_min,
        }
    }

    /// When it is over if no more comes than these bytes.
    fn due(&self, bytes: usize) -> Instant {
        let earned = (bytes as u64).saturating_mul(1_000).checked_div(self.rate_min);
        let earned = earned.map_or(self.total, Duration::from_millis);
        self.begun + earned.max(self.grace).min(self.total)
    }

    fn late(&self, due: Instant) -> Refusal {
        let limit = if due < self.begun + self.total { "rate" } else { "total" };
        metrics::counter!(names::BODIES_LATE, "limit" => limit).increment(1);
        let ms = due.saturating_duration_since(self.begun).as_millis();
        Refusal::BodyTimeout(u64::try_from(ms).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pace(body_rate_min: u64) -> Pace {
        let settings = Settings { body_rate_min, ..Settings::default() };
        Pace::new(&settings, Instant::now())
    }

    fn seconds(pace: &Pace, bytes: usize) -> u64 {
        (pace.due(bytes) - pace.begun).as_secs()
    }

    #[test]
    fn bytes_earn_time_behind_the_grace_and_below_the_total() {
        let pace = pace(240);
        assert_eq!(seconds(&pace, 0), 5);
        assert_eq!(seconds(&pace, 1_200), 5);
        assert_eq!(seconds(&pace, 2_400), 10);
        assert_eq!(seconds(&pace, 900 << 10), 30);
        assert_eq!(seconds(&self::pace(0), 0), 30, "no least rate");
    }

    proptest! {
        /// However a body is dripped below the rate, it is over soon after the grace.
        #[test]
        fn drips_never_win(drips in prop::collection::vec((1..400u64, 0..90usize), 1..400)) {
            let pace = pace(240);
            let (mut now, mut bytes) = (pace.begun, 0);
            for (pause_ms, most) in drips {
                now += Duration::from_millis(pause_ms);
                if now > pace.due(bytes) {
                    return Ok(());
                }
                // At most 200 bytes a second.
                bytes += most.min(usize::try_from(pause_ms / 5).expect("short"));
            }
            prop_assert!(now <= pace.begun + Duration::from_secs(5));
        }
    }
}
