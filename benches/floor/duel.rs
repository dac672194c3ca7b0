//! The gateway and the bare producer on one Kafka, in turns. The bare one gets each batch at the
//! moment at which the gateway got it in the same round, because librdkafka's price depends on rate
//! and bursts; and then all of them flat out.
//!
//! Both write to the same topics, and what they wrote is compared before it counts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use loadtest::broker::{Broker, Topics};
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers as _};
use regex::bytes::Regex;

use crate::arguments::{Arguments, Combination};
use crate::gateway::{Gateway, Sink};
use crate::kafka::Bare;
use crate::table::Table;
use crate::{Load, WARM, load};

/// Both sides, connected and warm.
pub(crate) struct Duel {
    gateway: Gateway,
    bare: Bare,
    topics: Topics,
    prefix: String,
    /// Batches of both so far.
    batches: usize,
}

impl Duel {
    /// Starts both; the first of all also proves that they write the same.
    pub(crate) fn start(
        arguments: &Arguments,
        broker: &Broker,
        combination: &Combination,
        number: usize,
        load: &Load,
    ) -> anyhow::Result<Self> {
        let prefix = format!("floor{number}");
        let sink = Sink::Kafka { brokers: broker.addr(), prefix: prefix.clone(), combination };
        let gateway = Gateway::start(arguments, &sink)?;
        let bare = Bare::start(gateway.settings(), load, arguments.connections)?;
        gateway.round(load, WARM, None)?;
        bare.round(WARM.len(), None)?;
        let duel = Self { gateway, bare, topics: broker.topics(), prefix, batches: 2 * WARM.len() };
        if number == 0 {
            duel.check_bytes(load)?;
        }
        Ok(duel)
    }

    /// One round of both.
    pub(crate) fn round(
        &mut self,
        load: &Load,
        round: usize,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let range = load.round(round);
        let batches = range.len();
        let seen = self.gateway.round(load, range, None)?;
        table.paced.push(self.bare.round(batches, Some(&seen.arrivals))?);
        table.kafka.push(seen);
        table.flat_out.push(self.bare.round(batches, None)?);
        self.batches += 3 * batches;
        Ok(())
    }

    /// Half the load, and whether everything has arrived, once.
    pub(crate) fn finish(mut self, load: &Load, table: &mut Table) -> anyhow::Result<()> {
        let rate = table.kafka.rate() / f64::from(load::EVENTS) / 2.0;
        table.kafka.half = self.gateway.round(load, load.half(), Some(rate))?.delays;
        self.batches += load.half().len();
        table.diverted = self.gateway.diverted()?;
        let (raw, events) = self.arrived()?;
        let wanted = self.batches * usize::from(load::EVENTS);
        ensure!(
            (raw, events) == (self.batches, wanted),
            "{} batches with {wanted} events were acknowledged, {raw} with {events} arrived",
            self.batches
        );
        Ok(())
    }

    fn arrived(&self) -> anyhow::Result<(usize, usize)> {
        let count = |topic: &str| -> anyhow::Result<usize> {
            let ends = self.topics.end_offsets(topic)?;
            Ok(usize::try_from(ends.iter().sum::<i64>())?)
        };
        let mut events = 0;
        for topic in self.lanes()? {
            events += count(&topic)?;
        }
        Ok((count(&self.raw())?, events))
    }

    fn raw(&self) -> String {
        format!("{}.raw", self.prefix)
    }

    fn lanes(&self) -> anyhow::Result<Vec<String>> {
        let start = format!("{}.event.", self.prefix);
        let mut names = self.topics.list()?;
        names.retain(|name| name.starts_with(&start));
        Ok(names)
    }

    /// Compares all copies of the first batch, but for what must differ: times and addresses.
    fn check_bytes(&self, load: &Load) -> anyhow::Result<()> {
        let id = load.records.first().context("a batch")?.facts.batch.to_string();
        let differs = Regex::new(r#""(?:ts|recv)":\d+|"ip":"[^"]*""#)?;
        // Each form that a record has, with the arrival times at which it was written.
        let mut forms: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let mut take = |message: &BorrowedMessage<'_>| {
            let (key, value) = (message.key().unwrap_or_default(), message.payload());
            let value = value.unwrap_or_default();
            let (headers, arrival) = headers(message);
            if !headers.contains(&id) && memchr::memmem::find(value, id.as_bytes()).is_none() {
                return;
            }
            let found = differs.find_iter(value).find(|found| found.as_bytes().starts_with(b"\"r"));
            let arrival = found.map_or(arrival, |found| found.as_bytes().to_vec());
            let value = differs.replace_all(value, &b""[..]);
            let parts = [message.topic().as_bytes(), key, headers.as_bytes(), &value];
            forms.entry(parts.join(&b'\n')).or_default().insert(arrival);
        };
        for topic in self.lanes()?.iter().chain([&self.raw()]) {
            self.topics.consume_each(topic, &mut take)?;
        }
        let records = usize::from(load::EVENTS) + 1;
        let both = forms.values().filter(|arrivals| arrivals.len() == 2).count();
        if (forms.len(), both) != (records, records) {
            for (form, arrivals) in forms.iter().filter(|(_, arrivals)| arrivals.len() != 2).take(4)
            {
                eprintln!("{} {}", arrivals.len(), String::from_utf8_lossy(form));
            }
        }
        ensure!(
            (forms.len(), both) == (records, records),
            "gateway and bare producer write different bytes: {} forms, {both} in both",
            forms.len()
        );
        Ok(())
    }
}

/// Names and values of a record's headers, and its time of arrival.
fn headers(message: &BorrowedMessage<'_>) -> (String, Vec<u8>) {
    let (mut text, mut arrival) = (String::new(), Vec::new());
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        let value = header.value.unwrap_or_default();
        text.push_str(header.key);
        match header.key {
            "tg-recv" => arrival = value.to_vec(),
            "tg-ip" => {}
            _ => text.push_str(&String::from_utf8_lossy(value)),
        }
        text.push(' ');
    }
    (text, arrival)
}
