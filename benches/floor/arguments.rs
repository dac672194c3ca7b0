//! What may be chosen on the command line, behind `cargo bench --bench floor --`.

use std::path::PathBuf;

use clap::Parser;
use tidegate::deliver::sinks::kafka;

/// The floor table of this machine.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// Rounds, in which all parts take turns; the table shows medians.
    #[arg(long, default_value_t = 5, value_parser = positive)]
    pub(crate) rounds: usize,
    /// Batches of 50 events that each part does in a round.
    #[arg(long, default_value_t = 2_000, value_parser = positive)]
    pub(crate) batches: usize,
    /// Keep-alive connections, and batches in flight in the bare parts.
    #[arg(long, default_value_t = 64, value_parser = positive)]
    pub(crate) connections: usize,
    /// `kafka.linger_ms`; several, as in `5,20,50`, make a sweep.
    #[arg(long, value_delimiter = ',')]
    pub(crate) linger: Vec<u64>,
    /// Partitions of each topic; several, as in `1,4`, make a sweep.
    #[arg(long, value_delimiter = ',')]
    pub(crate) partitions: Vec<u32>,
    /// `kafka.compression`; several, as in `none,lz4,zstd`, make a sweep.
    #[arg(long, value_delimiter = ',')]
    pub(crate) compression: Vec<String>,
    /// Measures embedded mode alone, which needs neither Java nor Maven.
    #[arg(long)]
    pub(crate) embedded_only: bool,
    /// The gateway's binary, if not the one that cargo has just built.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_tidegate"))]
    pub(crate) gateway: PathBuf,
    /// Where journals and stores are written; a tmpfs has syncs for nothing.
    #[arg(long, value_name = "FOLDER", default_value_os_t = std::env::temp_dir())]
    pub(crate) dir: PathBuf,
    /// Cargo says this.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    /// Becomes the bare server of row (a).
    #[arg(long, hide = true)]
    pub(crate) echo: Option<u16>,
}

/// Settings of Kafka that are measured together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Combination {
    /// `kafka.linger_ms`.
    pub(crate) linger_ms: u64,
    /// Partitions of each topic.
    pub(crate) partitions: u32,
    /// `kafka.compression`.
    pub(crate) compression: String,
}

impl Arguments {
    /// All combinations, at least one: the gateway's defaults.
    pub(crate) fn combinations(&self) -> Vec<Combination> {
        let usual = kafka::Settings::default();
        let lingers = or(&self.linger, usual.linger_ms);
        let partitions = or(&self.partitions, usual.topics.partitions);
        let compressions = or(&self.compression, usual.compression);
        let mut all = Vec::new();
        for compression in &compressions {
            for &partitions in &partitions {
                for &linger_ms in &lingers {
                    let compression = compression.clone();
                    all.push(Combination { linger_ms, partitions, compression });
                }
            }
        }
        all
    }
}

fn or<T: Clone>(given: &[T], usual: T) -> Vec<T> {
    if given.is_empty() { vec![usual] } else { given.to_vec() }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}
