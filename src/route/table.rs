//! The compiled route table: type name to lane and key.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::settings::Route;
use crate::config::Pattern;
use crate::model::LaneId;
use crate::model::routed::Lane;

/// The lane of types without a route.
pub(super) const OTHER: &str = "other";

/// Why a route table is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The lane cannot be a topic name.
    #[error(
        "route {at}: lane {lane:?} must be 1 to 80 of a-z 0-9 . - and not start or end with a dot"
    )]
    Lane {
        /// Which route, from 1.
        at: usize,
        /// As written.
        lane: String,
    },
    /// The route matches nothing.
    #[error("route {at}: types is empty; write types = [\"*\"] to match all")]
    NoTypes {
        /// Which route, from 1.
        at: usize,
    },
    /// The key is no field path.
    #[error("route {at}: key {key:?} must be instance, none or a field path such as props.user")]
    Key {
        /// Which route, from 1.
        at: usize,
        /// As written.
        key: String,
    },
    /// More lanes than there are numbers for.
    #[error("more than {0} lanes")]
    TooMany(usize),
}

/// Lanes of one table; each is a topic and its breaker, so this stays small.
pub(super) const LANES_MAX: usize = 1_000;

/// Routes ready to be asked.
#[derive(Debug)]
pub struct Table {
    lanes: Arc<[Lane]>,
    exact: FxHashMap<String, usize>,
    stars: Vec<(Pattern, usize)>,
    targets: Vec<Target>,
}

/// Where a type goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The route that decided, from 0; `None` for lane `other`.
    pub route: Option<usize>,
    /// The lane.
    pub lane: LaneId,
    /// The partition key.
    pub key: Key,
}

/// What a partition key is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The batch's instance.
    Instance,
    /// Nothing: records spread over all partitions.
    None,
    /// A field of the event; where it is absent, the instance.
    Field(Vec<String>),
}

impl Table {
    /// Compiles routes; `prefix` starts every topic name.
    pub fn compile(routes: &[Route], prefix: &str) -> Result<Self, Error> {
        let mut lanes = vec![lane(OTHER, prefix)];
        let other = Target { route: None, lane: LaneId::OTHER, key: Key::Instance };
        let mut table = Self {
            lanes: Arc::from([]),
            exact: FxHashMap::default(),
            stars: Vec::new(),
            targets: vec![other],
        };
        for (route, at) in routes.iter().zip(1..) {
            if route.types.is_empty() {
                return Err(Error::NoTypes { at });
            }
            let name = lane_name(&route.lane)
                .ok_or_else(|| Error::Lane { at, lane: route.lane.clone() })?;
            let number = lanes.iter().position(|lane| lane.name == name).unwrap_or_else(|| {
                lanes.push(lane(&name, prefix));
                lanes.len() - 1
            });
            let number = u16::try_from(number).ok().filter(|n| usize::from(*n) < LANES_MAX);
            let lane = LaneId(number.ok_or(Error::TooMany(LANES_MAX))?);
            let key =
                parse_key(&route.key).ok_or_else(|| Error::Key { at, key: route.key.clone() })?;
            table.targets.push(Target { route: Some(at - 1), lane, key });
            table.add(&route.types);
        }
        table.lanes = Arc::from(lanes);
        Ok(table)
    }

    /// Where a type goes.
    pub fn target(&self, kind: &str) -> &Target {
        // First match decides: an exact name counts only before the first star that matches.
        let exact = self.exact.get(kind).copied();
        let starred = self
            .stars
            .iter()
            .take_while(|(_, target)| exact.is_none_or(|exact| *target < exact))
            .find(|(pattern, _)| pattern.matches(kind))
            .map(|(_, target)| *target);
        let at = starred.or(exact).unwrap_or(0);
        &self.targets[at]
    }

    /// Names and topics by [`LaneId`]; lane `other` is the first.
    pub fn lanes(&self) -> &Arc<[Lane]> {
        &self.lanes
    }

    fn add(&mut self, types: &[Pattern]) {
        let target = self.targets.len() - 1;
        for pattern in types {
            if pattern.text().contains('*') {
                self.stars.push((pattern.clone(), target));
            } else {
                self.exact.entry(pattern.text().to_owned()).or_insert(target);
            }
        }
    }
}

fn lane(name: &str, prefix: &str) -> Lane {
    Lane { name: name.to_owned(), topic: format!("{prefix}.event.{name}") }
}

fn lane_name(text: &str) -> Option<String> {
    let name = text.to_ascii_lowercase();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    let right = (1..=80).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('.')
        && !name.ends_with('.');
    right.then_some(name)
}

fn parse_key(text: &str) -> Option<Key> {
    match text {
        "instance" => Some(Key::Instance),
        "none" => Some(Key::None),
        path => {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            let right = path.len() <= 16 && path.iter().all(|part| !part.is_empty());
            right.then_some(Key::Field(path))
        }
    }
}
