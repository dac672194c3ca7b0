"""`Retry-After` and `retry_ms` (R23). Never throws."""

from __future__ import annotations

import datetime
import re
from typing import Any, Optional

from ._backoff import WAIT_MS_MAX
from ._numbers import whole

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMS = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"{_DAY}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT\Z",
        rf"{_LONG_DAY}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT\Z",
        rf"{_DAY} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})\Z",
    )
)
_SECONDS = re.compile(r"[0-9]{1,15}\Z")
_EPOCH = datetime.datetime(1970, 1, 1)
_MS = datetime.timedelta(milliseconds=1)


def server_ms(header: Optional[str], retry_ms: Any, wall_ms: int) -> int:
    """The larger of what header and body ask for, 0 to an hour."""
    from_body = min(whole(retry_ms) or 0, WAIT_MS_MAX)
    return max(from_body, _header_ms(header, wall_ms))


def _header_ms(header: Optional[str], wall_ms: int) -> int:
    text = (header or "").strip(" \t")
    if _SECONDS.match(text):
        return min(int(text) * 1000, WAIT_MS_MAX)
    date = _date_ms(text, wall_ms)
    return 0 if date is None else min(max(date - wall_ms, 0), WAIT_MS_MAX)


def _date_ms(text: str, wall_ms: int) -> Optional[int]:
    """An HTTP-date as Unix ms. The day's name is not compared with the date."""
    found = next((match for match in (form.match(text) for form in _FORMS) if match), None)
    if found is None:
        return None
    second = 59 if found["second"] == "60" else int(found["second"])  # a leap second
    try:
        year = int(found["year"])
        if len(found["year"]) == 2:
            year = _full_year(year, wall_ms)
        moment = datetime.datetime(
            year,
            _MONTHS.index(found["month"]) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            second,
        )
    except (ValueError, OverflowError):
        return None
    return (moment - _EPOCH) // _MS


def _full_year(year: int, wall_ms: int) -> int:
    """A two-digit year that seems more than 50 years ahead is in the past."""
    this_year = (_EPOCH + datetime.timedelta(milliseconds=wall_ms)).year
    year += this_year // 100 * 100
    return year - 100 if year > this_year + 50 else year
