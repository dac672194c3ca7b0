//! Who may see which page of the operators' listener.
//!
//! In: the token, if there is one, and a request's headers. Out: nothing, or a refusal. `/healthz`
//! and `/readyz` are open, because probes have no secrets; they name no client and no key.

use hyper::header::{AUTHORIZATION, HeaderMap, ORIGIN};

use super::Page;
use crate::config::Secret;

/// What decides.
#[derive(Debug, Clone)]
pub struct Guard {
    /// `admin.token`; empty for none.
    pub token: Secret,
    /// Whether only this machine reaches the listener.
    pub loopback: bool,
}

/// Why a page is not shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) text: &'static str,
}

const TOKEN: Refusal = Refusal {
    status: 401,
    reason: "admin_token",
    text: "this page needs Authorization: Bearer and the admin token",
};
const EXPOSED: Refusal = Refusal {
    status: 403,
    reason: "admin_exposed",
    text: "admin.listen is no loopback address, so this page needs an admin.token to be configured",
};
const BROWSER: Refusal = Refusal {
    status: 403,
    reason: "admin_browser",
    text: "this page is not for other web pages: the request has an Origin",
};

impl Guard {
    /// Whether a page may be shown.
    pub(super) fn admits(&self, page: Page, headers: &HeaderMap) -> Result<(), Refusal> {
        match page {
            Page::Health | Page::Ready => return Ok(()),
            // Scrapers on the same private network need no token unless there is one.
            Page::Metrics if self.token.is_empty() => return Ok(()),
            Page::Metrics | Page::State | Page::Reload => {}
        }
        // A page that an operator visits could otherwise ask on loopback in the operator's name.
        if page != Page::Metrics && headers.contains_key(ORIGIN) {
            return Err(BROWSER);
        }
        if self.token.is_empty() {
            return if self.loopback { Ok(()) } else { Err(EXPOSED) };
        }
        let said = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        if said.is_some_and(|said| self.token.is(said.trim())) { Ok(()) } else { Err(TOKEN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: [Page; 5] = [Page::Health, Page::Ready, Page::Metrics, Page::State, Page::Reload];

    fn statuses(guard: &Guard, headers: &[(&'static str, &str)]) -> [u16; 5] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header value"));
        }
        PAGES.map(|page| guard.admits(page, &map).map_or_else(|refusal| refusal.status, |()| 200))
    }

    #[test]
    fn pages_are_shown_to_whom_they_are_for() {
        let guard = |token: &str, loopback| Guard { token: token.into(), loopback };
        let origin = ("origin", "https://evil.example");
        let bearer = ("authorization", "Bearer sesame");
        assert_eq!(statuses(&guard("", true), &[]), [200; 5]);
        assert_eq!(statuses(&guard("", true), &[origin]), [200, 200, 200, 403, 403]);
        assert_eq!(statuses(&guard("", false), &[]), [200, 200, 200, 403, 403]);
        for loopback in [true, false] {
            let guard = guard("sesame", loopback);
            assert_eq!(statuses(&guard, &[]), [200, 200, 401, 401, 401]);
            assert_eq!(statuses(&guard, &[bearer]), [200; 5]);
            assert_eq!(statuses(&guard, &[bearer, origin]), [200, 200, 200, 403, 403]);
            for wrong in ["Bearer sesam", "Bearer sesame2", "Basic sesame", "sesame", "Bearer "] {
                let statuses = statuses(&guard, &[("authorization", wrong)]);
                assert_eq!(statuses, [200, 200, 401, 401, 401], "{wrong}");
            }
        }
    }
}
