//! `min` and `max`, both inclusive and at least one of them told.

use serde::Deserialize;

/// Inclusive bounds of a number.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bounds<T> {
    /// No less than this.
    #[serde(default = "none")]
    pub min: Option<T>,
    /// No more than this.
    #[serde(default = "none")]
    pub max: Option<T>,
}

impl<T: PartialOrd> Bounds<T> {
    /// Refuses bounds that say nothing or that nothing can hold.
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.min, &self.max) {
            (None, None) => Err("needs min, max or both".to_owned()),
            (Some(min), Some(max)) if min > max => Err("min is greater than max".to_owned()),
            _ => Ok(()),
        }
    }

    /// Whether `value` lies within.
    pub(super) fn hold(&self, value: &T) -> bool {
        self.min.as_ref().is_none_or(|min| value >= min)
            && self.max.as_ref().is_none_or(|max| value <= max)
    }
}

/// Without this, serde would ask for `T: Default`.
fn none<T>() -> Option<T> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_say_something() {
        let bounds = Bounds { min: Some(1), max: Some(3) };
        assert!(bounds.check().is_ok());
        assert_eq!([0, 1, 3, 4].map(|value| bounds.hold(&value)), [false, true, true, false]);
        assert!(Bounds { min: Some(2), max: None }.hold(&i64::MAX));
        assert!(Bounds::<i64> { min: None, max: None }.check().is_err());
        assert!(Bounds { min: Some(2), max: Some(1) }.check().is_err());
    }
}
