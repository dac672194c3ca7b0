//! The members of one object, one after the other, each validated as it is met.
//!
//! In: the position of an opening brace. Out: the spans of keys and values; when the iteration ends
//! without a fault, the object is valid and its end is known.

use std::ops::Range;

use super::{Blanks, Fault, Kind, number, string, value};

/// A walk over the members of one object.
#[derive(Debug)]
pub struct Members<'a, 'b> {
    bytes: &'a [u8],
    at: usize,
    blanks: &'b mut Blanks,
    place: Place,
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The raw key between its quotes.
    pub key: Range<usize>,
    /// The value, quotes and brackets included.
    pub value: Range<usize>,
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
    pub fn open(bytes: &'a [u8], at: usize, blanks: &'b mut Blanks) -> Result<Self, Fault> {
        if bytes.get(at) != Some(&b'{') {
            return Err(blanks.fault(bytes, at));
        }
        Ok(Self { bytes, at: at + 1, blanks, place: Place::Opened })
    }

    /// Goes on behind a member that was read by other means.
    pub fn resume(bytes: &'a [u8], at: usize, blanks: &'b mut Blanks) -> Self {
        Self { bytes, at, blanks, place: Place::BehindMember }
    }

    /// The next member, or nothing behind the last one.
    #[inline]
    pub fn advance(&mut self) -> Result<Option<Member>, Fault> {
        if !self.step()? {
            return Ok(None);
        }
        let bytes = self.bytes;
        let key_start = self.at + 1;
        if bytes.get(self.at) != Some(&b'"') {
            return Err(self.blanks.fault(bytes, self.at));
        }
        let key_end = string::skip(bytes, key_start)?;
        let start = value::skip_colon(bytes, key_end, self.blanks)?;
        let (kind, end) = match bytes.get(start) {
            Some(b'"') => (Kind::String, string::skip(bytes, start + 1)?),
            Some(b'0'..=b'9' | b'-') => (Kind::Number, number::skip(bytes, start)?),
            other => (kind_of(other), value::skip(bytes, start, 1, self.blanks)?),
        };
        self.at = end;
        self.place = Place::BehindMember;
        Ok(Some(Member { key: key_start..key_end - 1, value: start..end, kind }))
    }

    /// Where the walk stands: behind the closing brace once [`Members::advance`] has said nothing.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes to the next key; false behind the closing brace.
    #[inline]
    fn step(&mut self) -> Result<bool, Fault> {
        let at = self.blanks.skip(self.bytes, self.at);
        match (self.place, self.bytes.get(at)) {
            (Place::Opened, Some(b'"')) => self.at = at,
            (Place::BehindMember, Some(b',')) => self.at = self.blanks.skip(self.bytes, at + 1),
            (Place::Opened | Place::BehindMember, Some(b'}')) => {
                self.at = at + 1;
                self.place = Place::Closed;
                return Ok(false);
            }
            (Place::Closed, _) => return Ok(false),
            _ => return Err(self.blanks.fault(self.bytes, at)),
        }
        Ok(true)
    }
}

/// The first key of the object at `at` (raw, between its quotes) and where its value begins.
///
/// Looks no further than that: what follows may be anything.
pub fn first_key(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let mut blanks = Blanks::anywhere();
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    let quote = blanks.skip(bytes, at + 1);
    if bytes.get(quote) != Some(&b'"') {
        return None;
    }
    let end = string::skip(bytes, quote + 1).ok()?;
    let start = value::skip_colon(bytes, end, &mut blanks).ok()?;
    Some((bytes.get(quote + 1..end - 1)?, start))
}

fn kind_of(first: Option<&u8>) -> Kind {
    match first {
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

    fn list(text: &str) -> Result<Vec<(String, String, Kind)>, Fault> {
        let mut blanks = Blanks::anywhere();
        let mut members = Members::open(text.as_bytes(), 0, &mut blanks)?;
        let mut found = Vec::new();
        while let Some(member) = members.advance()? {
            found.push((text[member.key].into(), text[member.value].into(), member.kind));
        }
        assert_eq!(members.at(), text.len());
        assert_eq!(members.advance(), Ok(None));
        Ok(found)
    }

    #[test]
    fn members_come_in_order_with_their_kinds() {
        let found = list(r#"{ "a":1, "b" : "x\"" ,"c":{"d":[]},"e":[1,2],"f":true,"g":null}"#);
        let found = found.unwrap();
        let kinds: Vec<_> = found.iter().map(|row| row.2).collect();
        use Kind::{Array, Bool, Null, Number, Object, String};
        assert_eq!(kinds, [Number, String, Object, Array, Bool, Null]);
        assert_eq!((found[1].0.as_str(), found[1].1.as_str()), ("b", r#""x\"""#));
        assert_eq!(found[2].1, r#"{"d":[]}"#);
        assert_eq!(list("{}").unwrap(), []);
        assert_eq!(list("{ }").unwrap(), []);
    }

    #[test]
    fn faults_have_their_place() {
        for (text, fault) in [
            ("[]", Fault::Syntax(0)),
            ("{", Fault::Eof(1)),
            ("{,", Fault::Syntax(1)),
            (r#"{"a""#, Fault::Eof(4)),
            (r#"{"a":"#, Fault::Eof(5)),
            (r#"{"a":1"#, Fault::Eof(6)),
            (r#"{"a":1,}"#, Fault::Syntax(7)),
            (r#"{"a":tru}"#, Fault::Syntax(5)),
            (r#"{"a":1 "b":2}"#, Fault::Syntax(7)),
            (r#"{a:1}"#, Fault::Syntax(1)),
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
