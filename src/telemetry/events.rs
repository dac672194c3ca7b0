//! Counts events by app, type and end, at one atomic addition per type and batch.
//!
//! Type names come from clients, so they are interned up to a cap and the rest is counted as
//! `other`. The outcome type belongs to floor 1; here it is only a label, hence the trait.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::metrics as names;

/// Distinct type names in metrics; later ones are counted as `other`.
pub const TYPES_MAX: usize = 1_000;

/// A type name's number; see [`type_number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TypeNumber(u16);

impl TypeNumber {
    /// Types beyond the cap.
    pub const OTHER: Self = Self(0);
    /// Events whose type could not be read, because they were rejected.
    pub const UNKNOWN: Self = Self(1);
}

/// A label value from a closed list.
pub trait Label: Copy {
    /// The text in the metric.
    fn label(self) -> &'static str;
}

/// The number of a type name; the same name has the same number for the life of the process.
pub fn type_number(kind: &[u8]) -> TypeNumber {
    LOCAL.with_borrow_mut(|local| {
        if let Some(number) = local.numbers.get(kind) {
            return *number;
        }
        let number = shared_number(kind);
        if number != TypeNumber::OTHER {
            local.numbers.insert(kind.into(), number);
        }
        number
    })
}

/// Adds `received` events of one type and their ends.
pub fn book<L: Label>(app: &Arc<str>, kind: TypeNumber, received: u64, ends: &[(L, u64)]) {
    LOCAL.with_borrow_mut(|local| {
        let books = local.books.entry(Arc::clone(app)).or_default();
        let at = usize::from(kind.0);
        if books.len() <= at {
            books.resize_with(at + 1, Book::default);
        }
        let Some(book) = books.get_mut(at) else { return };
        if book.ends.is_empty() {
            book.received = metrics::counter!(
                names::EVENTS_RECEIVED, "app" => app.to_string(), "type" => type_name(kind)
            );
        }
        book.received.increment(received);
        for (end, count) in ends.iter().filter(|(_, count)| *count > 0) {
            book.end(app, kind, end.label()).increment(*count);
        }
    });
}

/// The names that have numbers, for `topics plan --seen` and tests.
pub fn type_name(kind: TypeNumber) -> String {
    match kind {
        TypeNumber::OTHER => "other".to_owned(),
        TypeNumber::UNKNOWN => "(rejected)".to_owned(),
        TypeNumber(number) => {
            let names = NAMES.lock();
            names.1.get(usize::from(number) - 2).map(ToString::to_string).unwrap_or_default()
        }
    }
}

type Names = (Option<FxHashMap<Arc<str>, TypeNumber>>, Vec<Arc<str>>);
static NAMES: Mutex<Names> = Mutex::new((None, Vec::new()));

fn shared_number(kind: &[u8]) -> TypeNumber {
    let Ok(kind) = std::str::from_utf8(kind) else { return TypeNumber::OTHER };
    let mut names = NAMES.lock();
    let (numbers, list) = &mut *names;
    let numbers = numbers.get_or_insert_default();
    if let Some(number) = numbers.get(kind) {
        return *number;
    }
    if list.len() >= TYPES_MAX {
        return TypeNumber::OTHER;
    }
    let name: Arc<str> = Arc::from(kind);
    list.push(Arc::clone(&name));
    let number = TypeNumber(u16::try_from(list.len() + 1).unwrap_or(0));
    numbers.insert(name, number);
    number
}

#[derive(Default)]
struct Local {
    numbers: FxHashMap<Box<[u8]>, TypeNumber>,
    books: FxHashMap<Arc<str>, Vec<Book>>,
}

struct Book {
    received: metrics::Counter,
    ends: Vec<(&'static str, metrics::Counter)>,
}

impl Default for Book {
    fn default() -> Self {
        Self { received: metrics::Counter::noop(), ends: Vec::new() }
    }
}

impl Book {
    fn end(&mut self, app: &Arc<str>, kind: TypeNumber, end: &'static str) -> &metrics::Counter {
        let at = self.ends.iter().position(|(name, _)| *name == end).unwrap_or_else(|| {
            let counter = metrics::counter!(
                names::EVENTS, "app" => app.to_string(), "type" => type_name(kind), "outcome" => end
            );
            self.ends.push((end, counter));
            self.ends.len() - 1
        });
        &self.ends[at].1
    }
}

thread_local! {
    static LOCAL: RefCell<Local> = RefCell::default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let number = type_number(b"events.test.name");
        assert_eq!(type_number(b"events.test.name"), number);
        assert_eq!(type_name(number), "events.test.name");
        assert_eq!(type_number(b"\xff"), TypeNumber::OTHER);
    }
}
