"""Fetching the configuration and doing what it says (R73, R120-R126)."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple
from urllib.parse import quote

from ._admission import Admission
from ._platform import Request, Response
from ._state import always
from ._version import SDK


class Configuring(Admission):
    """Runs on the pumping thread."""

    def _config_step(self, now: int) -> bool:
        center = self.center
        if center.fetching is not None and center.fetch_until <= now:
            center.fetching.abort()
            center.fetched(Response(), now, self.platform.wall_ms())
            return True
        with self.lock:
            if center.purges(now) and self._purge():
                return True
            fetch = center.fetch_at()
            if fetch is None or fetch > now or self.opted_out or self._closing is not None:
                return False
            request = self._request("GET", "/v1/config", [], None)
            if center.etag is not None:
                request.headers = {**request.headers, "If-None-Match": center.etag}
            until = now + self.options.request_timeout_ms
            handle = self.platform.http(
                request, lambda response: self.post(lambda: self._fetched(handle, response))
            )
            center.began(handle, now, until)
        return True

    def _fetched(self, handle: Any, response: Response) -> None:
        """An answer of the configuration centre."""
        with self.lock:
            center, now = self.center, self.now()
            if center.fetching is not handle:
                return
            kept = center.fetched(response, now, self.platform.wall_ms())
            if kept is None:
                return
            store = self.keeper.store
            if store is not None:
                keep = store.keep_config
                self.keeper.soon(lambda: keep(kept))
            conf = center.conf
            self._bucket.change(conf.rate_per_s, conf.rate_burst, now)
            gone = self.queue.shrink(conf.queue_bytes_max, conf.queue_floor_bytes)  # R73
            self._leave(gone, "queue_full")

    def _purge(self) -> bool:
        """Everything that is held leaves, what is in flight later (R126)."""
        events = self.queue.clear()
        self._leave(events, "purged_kill")
        batches = [batch for batch in self._waiting() if batch.events]
        for batch in batches:
            self._remove(batch)
            self._drop(batch.events, always("purged_kill"))
            self._later(batch)
        return bool(events or batches)

    def _request(
        self, method: str, path: str, query: List[Tuple[str, str]], body: Optional[bytes]
    ) -> Request:
        """R1-R3, R27."""
        key = self.options.key
        headers = {"User-Agent": f"tidegate-{SDK}"}
        if key.startswith("sk_"):
            headers["Authorization"] = f"Bearer {key}"
        else:
            query = [("key", quote(key, safe="")), *query]
        if body is not None:
            headers["Content-Type"] = "application/x-ndjson"
        text = "&".join(f"{name}={value}" for name, value in query)
        url = self.options.endpoint + path + (f"?{text}" if text else "")
        return Request(method, url, headers, body, self.options.request_timeout_ms)
