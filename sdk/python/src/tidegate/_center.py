"""The configuration centre of one client: document in force, fetches, kill, pressure.

R25, R26, R53, R95, R120-R126. Pure but for what it is told.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from ._config import Effective, chosen, effective, factors, parse
from ._platform import Response
from ._reply import BODY_BYTES_MAX, Reply

_FETCH_EVERY_MS = 60_000
_PRESSURE_MS = 60_000
_STORED_MS_MAX = 604_800_000


class Center:
    """What the gateway wants of this client."""

    def __init__(self, profile: str, local: Mapping[str, Any]) -> None:
        self._profile = profile
        self._local = local
        self._document: Optional[Dict[str, Any]] = None
        self._text = ""
        self._wanted: Optional[int] = 0
        """The version that is said to exist; 0 at the start, which wants any (R120)."""
        self._first_wall = 0
        self._killed_until: Optional[int] = None
        self._level = 0
        self._level_until = 0
        self.etag: Optional[str] = None
        self.fetching: Any = None
        """The request under way."""
        self.fetch_until = 0
        self.last_fetch: Optional[int] = None
        self.conf: Effective = effective(profile, local, None)

    # Fetches

    def fetch_at(self) -> Optional[int]:
        """When to fetch, or nothing (R120, R121)."""
        if self._wanted is None or self.fetching is not None:
            return None
        return 0 if self.last_fetch is None else self.last_fetch + _FETCH_EVERY_MS

    def began(self, handle: Any, now: int, until: int) -> None:
        """A fetch is under way."""
        self.fetching, self.last_fetch, self.fetch_until, self._wanted = handle, now, until, None

    def want(self, version: Optional[int]) -> None:
        """A reply named a version (R26)."""
        in_force = -1 if self._document is None else int(self._document["version"])
        if version is not None and version > in_force:
            self._wanted = version

    def fetched(self, response: Response, now: int, wall: int) -> Optional[Dict[str, Any]]:
        """The answer: what the store is to keep, or nothing if nothing changed (R27, R124)."""
        self.fetching = None
        if response.status == 304 and self._document is not None:
            return self._kept(wall)
        if response.status != 200 or len(response.body) > BODY_BYTES_MAX:
            return None
        text = response.body.decode("utf-8", "replace")
        document = parse(text)
        if document is None or chosen(self._document, document) is not document:
            return None
        self.etag = response.headers.get("etag")
        self._text = text
        same = self._document is not None and self._document["version"] == document["version"]
        self._adopt(document, now, wall, self._first_wall if same else wall, same)
        if self._wanted is not None and self._wanted <= document["version"]:
            self._wanted = None
        return self._kept(wall)

    def restore(self, kept: Mapping[str, Any], now: int, wall: int) -> None:
        """The document of the store counts for a week (R124)."""
        text, first, last = kept.get("text"), kept.get("first_ms"), kept.get("last_ms")
        if not isinstance(text, str) or not isinstance(first, int) or not isinstance(last, int):
            return
        document = parse(text)
        if document is None or wall - last > _STORED_MS_MAX:
            return
        etag = kept.get("etag")
        self.etag = etag if isinstance(etag, str) else None
        self._text = text
        self._adopt(document, now, wall, first, False)

    def _kept(self, wall: int) -> Dict[str, Any]:
        return {
            "text": self._text,
            "etag": self.etag,
            "first_ms": self._first_wall,
            "last_ms": wall,
        }

    def _adopt(
        self, document: Dict[str, Any], now: int, wall: int, first_wall: int, same: bool
    ) -> None:
        self._document, self._first_wall = document, first_wall
        old_off = self.conf.off_ms
        self.conf = effective(self._profile, self._local, document)
        # The kill runs from the first receipt of its version (R126).
        if same and self._killed_until is not None:
            self._killed_until += self.conf.off_ms - old_off
        elif self.conf.off_ms:
            self._killed_until = now + self.conf.off_ms - max(wall - first_wall, 0)
        else:
            self._killed_until = None

    # Kill and pressure

    def killed_ms(self, now: int) -> int:
        """What is left of the kill."""
        return 0 if self._killed_until is None else max(self._killed_until - now, 0)

    @property
    def killed_until(self) -> int:
        """When it ends; long ago if there is none."""
        return self._killed_until or 0

    def purges(self, now: int) -> bool:
        """Whether what is held is to go (R126)."""
        return self.conf.purge and self.killed_ms(now) > 0

    def heard(self, reply: Reply, now: int) -> None:
        """Pressure and version of a reply of the gateway."""
        if reply.speaks:
            self._level, self._level_until = reply.pressure, now + _PRESSURE_MS
            self.want(reply.config)

    def pressure(self, now: int) -> int:
        """R25."""
        return self._level if now < self._level_until else 0

    def pressure_ends(self, now: int) -> Optional[int]:
        """When it is forgotten."""
        return self._level_until if self.pressure(now) else None

    def degrade(self, now: int) -> Dict[int, float]:
        """The factors in force (R95)."""
        level = self.pressure(now)
        return factors(self.conf.degrade, level) if level else {}

    def batch_ms(self, class_: int, now: int) -> int:
        """How long the oldest event of a class waits at most (R96)."""
        return self.conf.batch_ms * (2 ** self.pressure(now) if class_ else 1)
