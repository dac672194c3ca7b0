"""The inputs of the vectors that are about text: lines, headers, replies, waiting times.

In: nothing. Out: lists of `(name, input)`; `generate.py` adds what the reference answers.
"""

from typing import Any, Dict, List, Tuple

Case = Tuple[str, Dict[str, Any]]

ID = "01980000-0000-7000-8000-0000000000a1"
BATCH = "01980000-0000-7000-8000-0000000000b1"
EPOCH = "01980000-0000-7000-8000-0000000000e1"
NOW = 1767225600000


def props(name: str, value: Any) -> Case:
    """An event with one property."""
    return name, event(props={"v": value})


def event(**changes: Any) -> Dict[str, Any]:
    """An ordinary event with changes."""
    plain = {"id": ID, "seq": 1, "ts": NOW, "type": "page.view", "props": {}}
    limit = changes.pop("event_bytes_max", 262144)
    return {"event": {**plain, **changes}, "event_bytes_max": limit}


def letters(text: str, times: int) -> Dict[str, Any]:
    """One long property."""
    return {"v": {"$": "repeat", "text": text, "times": times}}


EVENT_LINES: List[Case] = [
    ("empty props are left out", event()),
    ("no props", event(props=None)),
    ("keys in their order", event(seq=41, age_ms=2500, weight=4, props={"path": "/x"})),
    ("an age of 1,000 is left out", event(age_ms=1000)),
    ("an age of 1,001 is there", event(age_ms=1001)),
    ("the largest age", event(age_ms=2**53)),
    ("a weight of 1 is left out", event(weight=1)),
    ("a weight with a fraction", event(weight=1 / 0.3)),
    ("a weight that is an integer", event(weight={"$": "float", "text": "10.0"})),
    ("a clock before 1970", event(ts=-5)),
    ("a clock beyond 2^53-1", event(ts=2**53 + 7)),
    ("the longest type", event(type="a" * 128)),
    ("a type that is too long", event(type="a" * 129)),
    ("an empty type", event(type="")),
    ("a type with a blank", event(type="a b")),
    ("a type with a newline at its end", event(type="a\n")),
    ("a type with an umlaut", event(type="gr\u00fc\u00df")),
    ("a type that is a number", event(type=5)),
    ("every allowed sign in a type", event(type="AZaz09_.:-")),
    ("props that are a list", event(props=[1])),
    ("props that are a string", event(props="x")),
    props("quotes and backslashes", 'a"b\\c'),
    props("short escapes", "\b\t\n\f\r"),
    props("other control characters", "\u0000\u0001\u001b\u001f"),
    props("solidus and signs of HTML", "</a>&'"),
    props("U+007F, U+2028, U+2029", "\u007f\u2028\u2029"),
    props("raw UTF-8", "\u00e9\u4e2d\U0001f600"),
    props("a lone high surrogate", {"$": "utf16", "units": [0x61, 0xD83D, 0x62]}),
    props("a lone low surrogate", {"$": "utf16", "units": [0xDE00]}),
    props("surrogates the wrong way round", {"$": "utf16", "units": [0xDE00, 0xD83D]}),
    props("a pair is one character", {"$": "utf16", "units": [0xD83D, 0xDE00]}),
    ("a key is escaped like a string", event(props={'a"\n\u00e9': 1})),
    props("true, false, null", [True, False, None]),
    props("small integers", [0, -1, 42]),
    props("the largest safe integer", {"$": "integer", "text": "9007199254740991"}),
    props("the least safe integer", {"$": "integer", "text": "-9007199254740991"}),
    props("one more is a string", {"$": "integer", "text": "9007199254740992"}),
    props("one less is a string", {"$": "integer", "text": "-9007199254740992"}),
    props("64 bits", {"$": "integer", "text": "18446744073709551615"}),
    props("a double that is an integer", {"$": "float", "text": "1.0"}),
    props("negative zero", {"$": "float", "text": "-0.0"}),
    props("a tenth and two tenths", {"$": "float", "text": "0.30000000000000004"}),
    props("1e20", {"$": "float", "text": "1e20"}),
    props("1e21", {"$": "float", "text": "1e21"}),
    props("1e-6", {"$": "float", "text": "1e-6"}),
    props("1e-7", {"$": "float", "text": "1e-7"}),
    props("123456789.125", {"$": "float", "text": "123456789.125"}),
    props("the largest double", {"$": "float", "text": "1.7976931348623157e308"}),
    props("the least double", {"$": "float", "text": "5e-324"}),
    props("NaN", {"$": "nan"}),
    props("infinities", [{"$": "infinity"}, {"$": "minus_infinity"}]),
    ("an absent member", event(props={"a": {"$": "absent"}, "b": 1})),
    ("only absent members", event(props={"a": {"$": "absent"}})),
    props("an absent element", [1, {"$": "absent"}]),
    props("a thing without a form", {"$": "opaque"}),
    props("bytes", {"$": "bytes", "hex": "00ff10"}),
    props("a date", {"$": "date", "ms": NOW + 7}),
    props("a date before 1970", {"$": "date", "ms": -1}),
    props("depth 64", {"$": "nested", "containers": 62}),
    props("depth 65", {"$": "nested", "containers": 63}),
    props("empty containers", [[], {}, ""]),
    ("as large as allowed", event(event_bytes_max=300, props=letters("x", 192))),
    ("one byte too large", event(event_bytes_max=300, props=letters("x", 193))),
    ("bytes count, not characters", event(event_bytes_max=300, props=letters("\u00e9", 97))),
    ("the age does not count", event(event_bytes_max=300, age_ms=5000, props=letters("x", 192))),
]


def report(**changes: Any) -> Dict[str, Any]:
    """A report with changes."""
    plain = {"n": 1, "tracked": 2, "admitted": 2, "acked": 0, "held": 2, "pre": [], "post": []}
    return {**plain, **changes}


def header(**changes: Any) -> Dict[str, Any]:
    """An ordinary header with changes."""
    plain = {"batch": BATCH, "sdk": "python/1.0.0", "instance": "i-1", "epoch": EPOCH, "class": 1}
    return {**plain, "count": 2, "report": report(), **changes}


HEADER_LINES: List[Case] = [
    ("ordinary", header()),
    ("with a configuration", header(config=7)),
    ("a configuration of version 0", header(config=0)),
    ("an empty context is left out", header(context={})),
    ("with a context", header(context={"os": "x", "lang": "de"})),
    ("a context with quotes and UTF-8", header(context={"t": 'a"\u00e9\n'})),
    ("critical", header(**{"class": 0})),
    ("bulk", header(**{"class": 2})),
    ("a report alone", header(count=0, report=report(held=0, acked=2, n=3))),
    (
        "the ledger of the specification",
        header(
            report=report(
                n=7, tracked=1200, admitted=1182, acked=1130, held=12,
                pre=[["rate_limited", 1, 8], ["sampled", 2, 10]],
                post=[["unconfirmed", 1, 10], ["queue_full", 2, 30]],
                reserved=1280, fin=True,
            )
        ),
    ),
    (
        "rows by reason, then by class; zeros are left out",
        header(
            report=report(
                tracked=9, admitted=3, held=0,
                pre=[["closed", 0, 1], ["invalid", 2, 1], ["invalid", 0, 3], ["killed", 1, 0],
                     ["sampled", 1, 1]],
                post=[["unconfirmed", 0, 1], ["store_error", 2, 1], ["expired", 1, 1]],
            )
        ),
    ),
    ("fin without anything", header(count=0, report=report(tracked=0, admitted=0, held=0, reserved=0, fin=True))),
    ("large numbers", header(report=report(n=2**53 - 1, tracked=2**53 - 1, admitted=2**53 - 1, held=0, acked=2**53 - 1))),
]


def waiting(name: str, text: Any, retry_ms: Any = None, wall_ms: int = NOW) -> Case:
    """A refusal's words about waiting."""
    return name, {"header": text, "retry_ms": retry_ms, "wall_ms": wall_ms}


RETRY_AFTER: List[Case] = [
    waiting("nothing", None),
    waiting("seconds", "30"),
    waiting("zero", "0"),
    waiting("leading zeros", "007"),
    waiting("blanks around", "  12\t"),
    waiting("an hour", "3600"),
    waiting("more than an hour", "3601"),
    waiting("15 digits", "999999999999999"),
    waiting("16 digits are garbage", "1000000000000000"),
    waiting("negative", "-5"),
    waiting("a plus sign", "+5"),
    waiting("a fraction", "1.5"),
    waiting("an exponent", "1e3"),
    waiting("hexadecimal", "0x10"),
    waiting("a unit", "30s"),
    waiting("a list", "30, 60"),
    waiting("empty", ""),
    waiting("a word", "soon"),
    waiting("other digits", "\u0663\u0660"),
    waiting("IMF-fixdate in 90 s", "Thu, 01 Jan 2026 00:01:30 GMT"),
    waiting("RFC 850 in 90 s", "Thursday, 01-Jan-26 00:01:30 GMT"),
    waiting("asctime in 90 s", "Thu Jan  1 00:01:30 2026"),
    waiting("asctime with two digits of day", "Sat Jan 10 00:00:00 2026"),
    waiting("the date is now", "Thu, 01 Jan 2026 00:00:00 GMT"),
    waiting("a date in the past", "Wed, 31 Dec 2025 23:59:00 GMT"),
    waiting("a date far ahead", "Fri, 01 Jan 2100 00:00:00 GMT"),
    waiting("between two seconds", "Thu, 01 Jan 2026 00:00:02 GMT", wall_ms=NOW + 1001),
    waiting("the wrong name of the day", "Mon, 01 Jan 2026 00:01:30 GMT"),
    waiting("no such day", "Thu, 31 Feb 2026 00:00:00 GMT"),
    waiting("no such hour", "Thu, 01 Jan 2026 24:00:00 GMT"),
    waiting("a leap second", "Thu, 01 Jan 2026 00:00:60 GMT"),
    waiting("a leap day", "Tue, 29 Feb 2028 00:00:00 GMT", wall_ms=1835395200000 - 5000),
    waiting("another zone", "Thu, 01 Jan 2026 00:01:30 CET"),
    waiting("an offset", "Thu, 01 Jan 2026 00:01:30 +0000"),
    waiting("small letters", "thu, 01 jan 2026 00:01:30 gmt"),
    waiting("one digit of day", "Thu, 1 Jan 2026 00:01:30 GMT"),
    waiting("RFC 850, 50 years ahead", "Wednesday, 01-Jan-76 00:00:00 GMT"),
    waiting("RFC 850, 51 years ahead is the past", "Friday, 01-Jan-77 00:00:00 GMT"),
    waiting("ISO 8601 is no HTTP-date", "2026-01-01T00:01:30Z"),
    waiting("the body alone", None, 5000),
    waiting("the body is larger", "3", 5000),
    waiting("the header is larger", "30", 5000),
    waiting("the body is more than an hour", None, 10**12),
    waiting("the body is negative", "1", -5),
    waiting("the body is a fraction", "1", 2500.5),
    waiting("the body is an integer with a point", None, 2500.0),
    waiting("the body is a string", None, "5000"),
    waiting("the body is true", None, True),
    waiting("garbage in the header, sense in the body", "soon", 700),
]


def answer(
    name: str, status: int, body: str, retry_after: Any = None, count: int = 2, fill: int = 0
) -> Case:
    """A reply to the ordinary batch; `FILL` in its body stands for so many letters y."""
    given = {"status": status, "retry_after": retry_after, "body": body, "fill": fill}
    return name, {**given, "batch": BATCH, "count": count, "wall_ms": NOW}


OK = f'{{"batch":"{BATCH}","accepted":2,"filtered":0,"rejected":[],"config":7'
REPLIES: List[Case] = [
    answer("accepted", 200, OK + "}"),
    answer("accepted, filtered and rejected", 200, f'{{"batch":"{BATCH}","accepted":1,"filtered":1,"rejected":[[2,"too_large"]],"config":7}}', count=3),
    answer("absent counts are zero", 200, f'{{"batch":"{BATCH}","accepted":2}}'),
    answer("the id in capitals", 200, f'{{"batch":"{BATCH.upper()}","accepted":2}}'),
    answer("unchecked", 200, f'{{"batch":"{BATCH}","accepted":2,"unchecked":true}}'),
    answer("unchecked with another count", 200, f'{{"batch":"{BATCH}","accepted":1,"unchecked":true}}'),
    answer("a report alone", 200, f'{{"batch":"{BATCH}","accepted":0}}', count=0),
    answer("unknown keys", 200, OK + ',"more":[{}]}'),
    answer("with limits and pressure", 200, OK + ',"limits":[[2,60000]],"pressure":2}'),
    answer("another batch", 200, OK.replace("b1", "b2") + "}"),
    answer("no batch", 200, '{"accepted":2}'),
    answer("numbers that do not add up", 200, f'{{"batch":"{BATCH}","accepted":1}}'),
    answer("a negative number", 200, f'{{"batch":"{BATCH}","accepted":3,"filtered":-1}}'),
    answer("rejected is no list", 200, f'{{"batch":"{BATCH}","accepted":1,"rejected":1}}'),
    answer("a captive portal", 200, "<html>Welcome</html>"),
    answer("an empty 200", 200, ""),
    answer("a list", 200, "[]"),
    answer("a 200 of more than 65,536 bytes", 200, OK + ',"x":"FILL"}', fill=65536),
    answer("a 200 of exactly 65,536 bytes", 200, OK + ',"x":"FILL"}', fill=65536 - len(OK) - 8),
    answer("a 204", 204, ""),
    answer("a 202 with the right body", 202, OK + "}"),
    answer("a 202's advice is not heard", 202, OK + ',"limits":[[1,5000]],"pressure":3}'),
    answer("a redirect", 302, ""),
    answer("no reply", 0, ""),
    answer("400", 400, '{"error":"x","reason":"bad_header"}'),
    answer("400 version", 400, '{"reason":"version","max":1}'),
    answer("401", 401, '{"reason":"unknown_key"}'),
    answer("403", 403, ""),
    answer("404", 404, "not found"),
    answer("408", 408, '{"retry_ms":5000}'),
    answer("409", 409, '{"reason":"batch_conflict"}'),
    answer("413", 413, '{"reason":"body_too_large","limit":921600}'),
    answer("415", 415, ""),
    answer("425", 425, ""),
    answer("429 with a header", 429, "", "7"),
    answer("429 with both", 429, '{"retry_ms":9000}', "7"),
    answer("429 with a limit of its class", 429, '{"retry_ms":5000,"limits":[[1,60000]]}'),
    answer("451", 451, ""),
    answer("500", 500, "oops"),
    answer("502 of a proxy", 502, "<html>", "10"),
    answer("503 pressure is answered", 503, '{"reason":"pressure","retry_ms":10000,"limits":[[2,10000]],"pressure":2}'),
    answer("503 busy is answered", 503, '{"reason":"busy","retry_ms":5000}'),
    answer("503 not_durable is unanswered", 503, '{"reason":"not_durable","retry_ms":5000}'),
    answer("503 without a body", 503, "", "1"),
    answer("599", 599, ""),
    answer("a final 1xx", 101, ""),
    answer("limits that are garbage", 503, '{"limits":[[3,1],[1,-1],[1],"x",[1,5],[0,7200000],[2,1.5]]}'),
    answer("limits that are no list", 503, '{"limits":{"1":5}}'),
    answer("pressure above 3", 503, '{"pressure":9}'),
    answer("pressure that is garbage", 503, '{"pressure":"2"}'),
    answer("a config that is garbage", 200, OK.replace('"config":7', '"config":"7"') + "}"),
    answer("NaN is no JSON", 200, OK + ',"x":NaN}'),
    answer("an endless number", 503, '{"retry_ms":1e400}'),
]
