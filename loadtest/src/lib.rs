//! Load generator and loss oracle for Tidegate, and the harness that gives tests a real Kafka.
//!
//! In: a gateway binary and the parameters of a load. Out: a verdict on every event that the
//! gateway acknowledged. [`torture`] breaks disks, brokers and processes meanwhile. It never links
//! the gateway's own code, so that no mistake is shared.

#![expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]

pub mod batch;
pub mod broker;
pub mod cases;
pub mod claims;
pub mod disturb;
pub mod feeder;
pub mod gateway;
pub mod hostile;
pub mod judge;
pub mod ports;
pub mod process;
pub mod record;
pub mod report;
pub mod run;
pub mod send;
pub mod torture;

mod clock;
