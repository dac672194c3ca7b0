"""Local options (R40-R42): what is refused, what is clamped, what is treated as absent."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional
from urllib.parse import urlsplit

from ._lines import CONTEXT_BYTES_MAX
from ._numbers import bounded, read_object
from ._serialise import INTEGER_MAX, json_text, to_bytes

_KEY = re.compile(r"[\x21-\x7e]{4,128}\Z")
_INSTANCE = re.compile(r"[A-Za-z0-9_.:-]{1,128}\Z", re.ASCII)


class OptionError(ValueError):
    """`key` or `endpoint` is missing or malformed (R41): the only refusal of this library."""


@dataclass
class Options:
    """Options after validation. `local` has what the configuration may meet (R40)."""

    key: str
    endpoint: str
    instance: Optional[str]
    context: Dict[str, Any]
    event_bytes_max: int
    request_timeout_ms: int
    gzip_bytes_min: int
    store_dir: Optional[str]
    store_flush_ms: int
    opted_out: bool
    before_send: Optional[Callable[..., Any]]
    on_drop: Optional[Callable[..., Any]]
    local: Dict[str, Any]
    notes: List[str]
    """What was ignored and is to be logged once."""


def check(given: Mapping[str, Any]) -> Options:
    """Raises `OptionError`, and only that."""
    notes: List[str] = []
    store_dir = given.get("store_dir")
    return Options(
        key=_key(given.get("key")),
        endpoint=_endpoint(given.get("endpoint")),
        instance=_instance(given.get("instance"), notes),
        context=_context(given.get("context"), notes),
        event_bytes_max=_clamped(given.get("event_bytes_max"), 256, 262_144, 262_144),
        request_timeout_ms=_clamped(given.get("request_timeout_ms"), 100, 120_000, 30_000),
        gzip_bytes_min=_clamped(given.get("gzip_bytes_min"), 0, INTEGER_MAX, 1024),
        store_dir=os.fspath(store_dir) if isinstance(store_dir, (str, os.PathLike)) else None,
        store_flush_ms=_clamped(given.get("store_flush_ms"), 10, 1000, 1000),
        opted_out=given.get("opted_out") is True,
        before_send=_function(given.get("before_send")),
        on_drop=_function(given.get("on_drop")),
        local=dict(given),
        notes=notes,
    )


def _key(key: Any) -> str:
    if not isinstance(key, str) or not _KEY.match(key):
        raise OptionError("key: 4 to 128 visible ASCII characters are needed")
    return key


def _endpoint(endpoint: Any) -> str:
    if not isinstance(endpoint, str):
        raise OptionError("endpoint: an absolute http or https URL is needed")
    try:
        parts = urlsplit(endpoint)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not endpoint.isascii() or re.search(r"[\x00-\x20\x7f]", endpoint):
        raise OptionError("endpoint: an absolute http or https URL is needed")
    if "?" in endpoint or "#" in endpoint:
        raise OptionError("endpoint: no query and no fragment, please")
    return endpoint[:-1] if endpoint.endswith("/") else endpoint


def _instance(instance: Any, notes: List[str]) -> Optional[str]:
    if isinstance(instance, str) and _INSTANCE.match(instance):
        return instance
    if instance is not None:
        notes.append("instance is invalid, one is made (R42)")
    return None


def _context(context: Any, notes: List[str]) -> Dict[str, Any]:
    if context is None:
        return {}
    try:
        if isinstance(context, Mapping):
            text = json_text(context, 1, CONTEXT_BYTES_MAX)
            plain = to_bytes(text)
            if len(plain) <= CONTEXT_BYTES_MAX:
                return read_object(plain.decode()) or {}  # what the host changes later stays out
    except Exception:
        pass
    notes.append("context is invalid or too large, none is sent (R42)")
    return {}


def _clamped(thing: Any, least: int, most: int, default: int) -> int:
    read = bounded(thing, least, most, True)
    return default if read is None else int(read)


def _function(thing: Any) -> Optional[Callable[..., Any]]:
    return thing if callable(thing) else None
