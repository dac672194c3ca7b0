//! Every path of the ingest listener, in one table.

use hyper::Method;

/// A place that requests go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Batch,
    Pixel,
    Document,
}

/// Path, place, its name in metrics, methods as `Allow` has them.
const TABLE: [(&str, Place, &str, &str); 3] = [
    ("/v1/batch", Place::Batch, "batch", "POST, OPTIONS"),
    ("/v1/pixel.gif", Place::Pixel, "pixel", "GET, HEAD, OPTIONS"),
    ("/v1/config", Place::Document, "config", "GET, HEAD, OPTIONS"),
];

/// What the table says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// Goes there.
    Place(Place),
    /// A browser asks beforehand; these methods are allowed.
    Preflight(&'static str),
    /// The path exists; these methods are allowed.
    Method(&'static str),
    /// No such path.
    Nothing,
}

/// Finds the place of a request and its name in metrics.
pub(super) fn find(method: &Method, path: &str) -> (Match, &'static str) {
    let Some((_, place, name, allow)) = TABLE.iter().find(|(known, ..)| *known == path) else {
        return (Match::Nothing, "none");
    };
    let found = if *method == Method::OPTIONS {
        Match::Preflight(allow)
    } else if allow.split(", ").any(|allowed| allowed == method.as_str()) {
        Match::Place(*place)
    } else {
        Match::Method(allow)
    };
    (found, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_checked_per_path() {
        for (method, path, expected) in [
            (Method::POST, "/v1/batch", Match::Place(Place::Batch)),
            (Method::GET, "/v1/batch", Match::Method("POST, OPTIONS")),
            (Method::HEAD, "/v1/pixel.gif", Match::Place(Place::Pixel)),
            (Method::OPTIONS, "/v1/config", Match::Preflight("GET, HEAD, OPTIONS")),
            (Method::POST, "/v1/batch/", Match::Nothing),
            (Method::GET, "/", Match::Nothing),
        ] {
            assert_eq!(find(&method, path).0, expected, "{method} {path}");
        }
    }
}
