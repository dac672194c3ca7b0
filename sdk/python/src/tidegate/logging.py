"""A `logging.Handler` that tracks log records as events.

import logging, tidegate.logging
logging.getLogger().addHandler(tidegate.logging.TidegateHandler(client))
"""

from __future__ import annotations

import logging
from typing import Any, Dict

from .client import Client

_OWN = "tidegate"
_CRITICAL, _ORDINARY, _BULK = 0, 1, 2


class TidegateHandler(logging.Handler):
    """Tracks records as `log.<level>`: errors as class 0, warnings 1, everything else 2.

    Records of this library are never tracked (R33).
    """

    def __init__(self, client: Client, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self._client = client

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        if record.name == _OWN or record.name.startswith(_OWN + "."):
            return
        try:
            self._client.track(
                f"log.{_name(record.levelno)}", self._props(record), class_=_class(record.levelno)
            )
        except Exception:
            self.handleError(record)

    def _props(self, record: logging.LogRecord) -> Dict[str, Any]:
        props: Dict[str, Any] = {
            "logger": record.name,
            "message": record.getMessage(),
            "file": record.pathname,
            "line": record.lineno,
        }
        if record.exc_info and record.exc_info[1] is not None:
            formatter = self.formatter or logging.Formatter()
            props["exception"] = formatter.formatException(record.exc_info)
        return props


def _class(level: int) -> int:
    if level >= logging.ERROR:
        return _CRITICAL
    return _ORDINARY if level >= logging.WARNING else _BULK


def _name(level: int) -> str:
    for least, name in (
        (logging.CRITICAL, "critical"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warning"),
        (logging.INFO, "info"),
    ):
        if level >= least:
            return name
    return "debug"
