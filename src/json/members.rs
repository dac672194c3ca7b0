//! The members of one object, one after the other, each validated as it is met.
//!
//! In: the position of an opening brace. Out: keys and values as they are written; when the
//! iteration ends without a fault, the object is valid and its end is known.

use super::{Fault, Kind, Scanner, number, string, value};

/// A walk over the members of one object.
#[derive(Debug)]
pub struct Members<'a, 'b> {
    text: &'a [u8],
    rest: &'a [u8],
    scanner: &'b mut Scanner,
    place: Place,
}

/// One member of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The raw key between its quotes; empty where the caller told it.
    pub key: &'a [u8],
    /// The raw value, quotes and brackets included.
    pub value: &'a [u8],
    /// Where the value begins.
    pub at: usize,
    /// The sort of value.
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Opened,
    BehindMember,
    Closed,
}

impl<'a, 'b> Members<'a, 'b> {
    /// Begins at the object whose brace is at `at`; it has depth 1.
    #[inline]
    pub fn open(text: &'a [u8], at: usize, scanner: &'b mut Scanner) -> Result<Self, Fault> {
        match text.get(at..) {
            Some([b'{', rest @ ..]) => Ok(Self { text, rest, scanner, place: Place::Opened }),
            _ => Err(if at < text.len() { Fault::Syntax(at) } else { Fault::Eof(at) }),
        }
    }

    /// Goes on behind a member that was read by other means.
    pub fn resume(text: &'a [u8], at: usize, scanner: &'b mut Scanner) -> Self {
        let rest = text.get(at..).unwrap_or_default();
        Self { text, rest, scanner, place: Place::BehindMember }
    }

    /// The next member, or nothing behind the last one.
    #[inline]
    pub fn advance(&mut self) -> Result<Option<Member<'a>>, Fault> {
        let rest = self.scanner.skip_blanks(self.rest);
        let start = match (self.place, rest) {
            (Place::BehindMember, [b',', rest @ ..]) => self.scanner.skip_blanks(rest),
            (Place::Opened | Place::BehindMember, [b'}', rest @ ..]) => {
                self.rest = rest;
                self.place = Place::Closed;
                return Ok(None);
            }
            (Place::Opened, _) => rest,
            (Place::Closed, _) => return Ok(None),
            (Place::BehindMember, _) => {
                self.scanner.unexpected(rest);
                return Err(self.scanner.fault_in(self.text));
            }
        };
        match self.member(start) {
            Some(member) => Ok(Some(member)),
            None => Err(self.scanner.fault_in(self.text)),
        }
    }

    /// The next member if it is written as exactly `lead` and a string or a number; else nothing,
    /// and the walk stands where it stood.
    ///
    /// A lead is a comma (but for the first member), the quoted key and the colon. Callers that
    /// know which member comes next save the search for the ends of its key.
    #[inline]
    pub fn advance_past<const N: usize>(
        &mut self,
        lead: &[u8; N],
    ) -> Result<Option<Member<'a>>, Fault> {
        let Some((first, value)) = self.rest.split_first_chunk::<N>() else { return Ok(None) };
        if first != lead {
            return Ok(None);
        }
        let (kind, rest) = match value {
            [b'"', rest @ ..] => (Kind::String, string::skip(rest, self.scanner)),
            [b'0'..=b'9' | b'-', ..] => (Kind::Number, number::skip(value, self.scanner)),
            _ => return Ok(None),
        };
        let Some(rest) = rest else { return Err(self.scanner.fault_in(self.text)) };
        self.rest = rest;
        self.place = Place::BehindMember;
        let at = self.text.len() - value.len();
        let value = value.get(..value.len() - rest.len()).unwrap_or_default();
        Ok(Some(Member { key: &[], value, at, kind }))
    }

    /// Where the walk stands: behind the closing brace once [`Members::advance`] has said nothing.
    pub fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    #[inline]
    fn member(&mut self, rest: &'a [u8]) -> Option<Member<'a>> {
        let [b'"', key @ ..] = rest else {
            self.scanner.unexpected(rest);
            return None;
        };
        let behind = string::skip(key, self.scanner)?;
        let key = key.get(..key.len() - behind.len() - 1)?;
        let value = value::skip_colon(behind, self.scanner)?;
        let (kind, rest) = match value {
            [b'"', rest @ ..] => (Kind::String, string::skip(rest, self.scanner)?),
            [b'0'..=b'9' | b'-', ..] => (Kind::Number, number::skip(value, self.scanner)?),
            _ => (kind_of(value), value::skip(value, 1, self.scanner)?),
        };
        self.rest = rest;
        self.place = Place::BehindMember;
        let at = self.text.len() - value.len();
        Some(Member { key, value: value.get(..value.len() - rest.len())?, at, kind })
    }
}

/// The first key of the object at `at` (raw, between its quotes) and where its value begins.
///
/// Looks no further than that: what follows may be anything.
pub fn first_key(text: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let mut scanner = Scanner::anywhere();
    let rest = text.get(at..)?.strip_prefix(b"{")?;
    let key = scanner.skip_blanks(rest).strip_prefix(b"\"")?;
    let behind = string::skip(key, &mut scanner)?;
    let value = value::skip_colon(behind, &mut scanner)?;
    Some((key.get(..key.len() - behind.len() - 1)?, text.len() - value.len()))
}

fn kind_of(value: &[u8]) -> Kind {
    match value.first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'n') => Kind::Null,
        // Whatever is not true or false fails in the scanner before anybody sees this.
        _ => Kind::Bool,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<(&str, &str, Kind)>, Fault> {
        let mut scanner = Scanner::anywhere();
        let mut members = Members::open(text.as_bytes(), 0, &mut scanner)?;
        let mut found = Vec::new();
        let read = |raw| std::str::from_utf8(raw).unwrap();
        while let Some(Member { key, value, at, kind }) = members.advance()? {
            assert!(text[at..].starts_with(read(value)));
            found.push((read(key), read(value), kind));
        }
        assert_eq!(members.at(), text.len());
        assert_eq!(members.advance(), Ok(None));
        Ok(found)
    }

    #[test]
    fn members_come_in_order_with_their_kinds() {
        let found = list(r#"{ "a":1, "b" : "x\"" ,"c":{"d":[]},"e":[1,2],"f":true,"g":null}"#);
        let expected = [
            ("a", "1", Kind::Number),
            ("b", r#""x\"""#, Kind::String),
            ("c", r#"{"d":[]}"#, Kind::Object),
            ("e", "[1,2]", Kind::Array),
            ("f", "true", Kind::Bool),
            ("g", "null", Kind::Null),
        ];
        assert_eq!(found.unwrap(), expected);
        assert_eq!(list("{}").unwrap(), []);
        assert_eq!(list("{ }").unwrap(), []);
    }

    #[test]
    fn faults_have_their_place() {
        for (text, fault) in [
            ("[]", Fault::Syntax(0)),
            ("", Fault::Eof(0)),
            ("{", Fault::Eof(1)),
            ("{,", Fault::Syntax(1)),
            (r#"{"a""#, Fault::Eof(4)),
            (r#"{"a":"#, Fault::Eof(5)),
            (r#"{"a":1"#, Fault::Eof(6)),
            (r#"{"a":1,}"#, Fault::Syntax(7)),
            (r#"{"a":tru}"#, Fault::Syntax(5)),
            (r#"{"a":1 "b":2}"#, Fault::Syntax(7)),
            (r#"{"a":[1}"#, Fault::Syntax(7)),
            (r"{a:1}", Fault::Syntax(1)),
        ] {
            assert_eq!(list(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn the_first_key_is_found_before_anything_is_valid() {
        assert_eq!(first_key(b"{ \n \"batch\" : [", 0), Some((&b"batch"[..], 14)));
        assert_eq!(first_key(b"{}", 0), None);
        assert_eq!(first_key(b"[", 0), None);
        assert_eq!(first_key(b"{\"a\"", 0), None);
    }
}
