"""`Retry-After` and `retry_ms` (R23).

In: header text, JSON value, wall clock. Out: milliseconds, 0 to an hour. Never throws.
"""

import datetime
import re
from typing import Any, Optional

from .backoff import WAIT_MS_MAX
from .config import is_number

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
MONTH = f"(?P<month>{'|'.join(MONTHS)})"
TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
FORMS = [
    re.compile(rf"{DAY}, (?P<day>\d\d) {MONTH} (?P<year>\d{{4}}) {TIME} GMT\Z", re.ASCII),
    re.compile(rf"{LONG_DAY}, (?P<day>\d\d)-{MONTH}-(?P<year>\d\d) {TIME} GMT\Z", re.ASCII),
    re.compile(rf"{DAY} {MONTH} (?P<day>[ \d]\d) {TIME} (?P<year>\d{{4}})\Z", re.ASCII),
]


def server_ms(header: Optional[str], retry_ms: Any, wall_ms: int) -> int:
    """The larger of what header and body ask for."""
    from_body = 0
    if is_number(retry_ms) and retry_ms >= 0 and retry_ms == int(retry_ms):
        from_body = min(int(retry_ms), WAIT_MS_MAX)
    return max(from_body, header_ms(header, wall_ms))


def header_ms(header: Optional[str], wall_ms: int) -> int:
    """What the header asks for; 0 if it is absent or garbage."""
    text = (header or "").strip(" \t")
    if re.match(r"[0-9]{1,15}\Z", text):
        return min(int(text) * 1000, WAIT_MS_MAX)
    date = date_ms(text, wall_ms)
    return 0 if date is None else min(max(date - wall_ms, 0), WAIT_MS_MAX)


def date_ms(text: str, wall_ms: int) -> Optional[int]:
    """An HTTP-date as Unix ms. The day's name is not compared with the date."""
    for form in FORMS:
        found = form.match(text)
        if not found:
            continue
        year = int(found["year"])
        if len(found["year"]) == 2:
            this_year = (EPOCH + datetime.timedelta(milliseconds=wall_ms)).year
            year += this_year // 100 * 100
            if year > this_year + 50:
                year -= 100
        # A leap second is the second before it.
        second = min(int(found["second"]), 59) if found["second"] == "60" else int(found["second"])
        month = MONTHS.index(found["month"]) + 1
        try:
            moment = datetime.datetime(
                year, month, int(found["day"]), int(found["hour"]), int(found["minute"]), second
            )
        except ValueError:
            return None
        return (moment - EPOCH.replace(tzinfo=None)) // datetime.timedelta(milliseconds=1)
    return None


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
