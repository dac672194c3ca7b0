"""What drives a client, and the calls that change all of it.

`track`, `stats`, `flush`, `close` and the opt-out come from any thread and hold `lock` briefly,
never across I/O or a function of the host. `pump` does everything else: on one thread of its own,
or, under virtual time, on the thread of the tests. It looks for one thing to do, does it, and looks
again. The layers below: `_state`, `_admission`, `_configuring`, `_sending`, `_ending`.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Any, Dict, List, Optional

from ._ending import Ending
from ._gate import NEVER
from ._keeper import CHORES
from ._notices import Hooks, Notices
from ._state import CLASSES


class Engine(Ending):
    """One client."""

    def start(self) -> None:
        """Begins to drive (R31)."""
        self.platform.start(self)

    def pump(self) -> None:
        """Everything that is due. One thread at a time."""
        while not self.ended:
            with self.stepping:
                again = self._step()
            self.notices.tell()
            if not again:
                break
        self.notices.tell()

    def _step(self) -> bool:
        """One thing, if there is one."""
        if self._inbox:
            self._inbox.popleft()()
            return True
        if self._recover:
            self._recover = False
            if not self.opted_out:
                self.keeper.recover()
            return True
        now = self.now()
        if self.keeper.short(self.epoch):
            self.keeper.reserve(self.epoch)
            return True
        at = self.keeper.at()
        if at == CHORES:
            self.keeper.chores()
            return True
        with self.lock:
            late = next((batch for batch in self._in_flight() if batch.deadline <= now), None)
        if late is not None:
            self._give_up(late)
            return True
        if self._config_step(now):
            return True
        if at is not None and at <= now:
            self.keeper.flush()
            return True
        with self.lock:
            ended = self._waiters_step(now)
        if ended:
            return True
        return self._closing_step(now) or self._send_step(now)

    def wake_at(self) -> Optional[int]:
        """The next time at which something is due by itself."""
        with self.lock:
            if self.ended:
                return None
            now = self.now()
            times: List[float] = [waiter.deadline for waiter in self._waiters]
            if self._closing is not None:
                times.append(self._closing.deadline)
            at = self.keeper.at()
            if at is not None:
                times.append(at)
            times.extend(batch.deadline for batch in self._in_flight())
            if self.center.fetching is not None:
                times.append(self.center.fetch_until)
            fetch = self.center.fetch_at()
            if fetch is not None and not self.opted_out and self._closing is None:
                times.append(fetch)
            self._report_armed = self.epoch.news
            times.append(self._send_at(now))
            ends = self.center.pressure_ends(now)
            if ends is not None and (self.queue.count(1) or self.queue.count(2)):
                times.append(ends)
            least = min(times, default=NEVER)
            return None if math.isinf(least) else max(int(least), now)

    def opt_out(self) -> threading.Event:
        """In memory at once; the store follows on the pumping thread, which sets the answer."""
        erased = threading.Event()
        with self.lock:
            if self.opted_out:
                erased.set()
                return erased
            now = self.now()
            told: Dict[int, int] = {}
            for event in self.queued():
                told[event.class_] = told.get(event.class_, 0) + 1
            for batches in self.sealed:
                for batch in batches:
                    batch.dead = True
                    told[batch.class_] = told.get(batch.class_, 0) + len(batch.events)
                    if batch.handle is not None:
                        batch.handle.abort()
            if self.center.fetching is not None:
                self.center.fetching.abort()
                self.center.fetching = None
            self.opted_out = True
            self.keeper.erase(self.epochs())
            self._new_epoch()
            self._keep_consent()
            self.keeper.soon(erased.set)
            if self.keeper.store is None or self.ended:
                erased.set()
            for class_, count in sorted(told.items()):
                if count:
                    self.notices.add("no_consent", class_, count, now)
        self.platform.wake()
        self.notices.tell()
        return erased

    def opt_in(self) -> None:
        """One more epoch."""
        with self.lock:
            if not self.opted_out:
                return
            self.opted_out = False
            self.keeper.erase(self.epochs())
            self._new_epoch()
            if self.center.conf.config is None:
                self.center.want(0)
            self._keep_consent()
        self.platform.wake()

    def _keep_consent(self) -> None:
        store, out = self.keeper.store, self.opted_out
        if store is not None:
            keep = store.keep_opted_out
            self.keeper.soon(lambda: keep(out))

    def forked(self) -> None:
        """In the child: nothing of the parent is left but options, configuration and consent."""
        if not self.made:  # its maker is no thread of the child
            return
        self.lock, self.stepping = threading.RLock(), threading.RLock()
        self.answered = threading.Condition(self.lock)
        self.platform.reset()
        self._inbox = deque()
        for epoch in self.epochs():
            if epoch.journal is not None:
                epoch.journal.release()
        self.keeper.forget()
        hooks = self.notices.hooks
        self.notices = Notices(hooks or Hooks(None, None))
        self._recover = False
        self._begin()
        self._fin_at = None
        self.center.fetching = None
        if self.center.conf.config is None:
            self.center.last_fetch = None
            self.center.want(0)
        if self._closing is not None:
            self.ended = True
            self._closing.end(True, self.now())
            self.platform.stop()

    @property
    def untouched(self) -> bool:
        """Whether an end needs nothing of it: a worker process that never tracked, say."""
        return not self._held() and not self.epoch.ledger.tracked and self.keeper.settled

    def stats(self) -> Dict[str, Any]:
        """One consistent view."""
        with self.lock:
            if not self.ended:
                self._expire_all()
            now = self.now()
            view = {
                **self.epoch.view(),
                "queued": [self.queue.count(class_) for class_ in CLASSES],
                "sealed": sum(len(batches) for batches in self.sealed),
                "in_flight": len(self._in_flight()),
                "queue_bytes": self.queue.used,
                "store_bytes": self.keeper.bytes(self.epochs()),
                "filtered": self.filtered,
                "rejected": self.rejected,
                "breaker": self.gate.state,
                "pressure": self.center.pressure(now),
                "config": self.center.conf.config,
                "killed_ms": self.center.killed_ms(now),
                "opted_out": self.opted_out,
                "older": [epoch.view() for epoch in self._older],
            }
            if self._inbox:
                self.platform.wake()
        self.notices.tell()
        return view
