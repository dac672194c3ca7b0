"""The ledger of one epoch and its two sums (R100-R103), and the epoch itself (R106)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from ._lines import POST, PRE, Row, ordered

if TYPE_CHECKING:
    from ._journal import Journal

Rows = Dict[Tuple[str, int], int]


class Ledger:
    """Cumulative numbers. `tracked` and `held` follow from the others, so the sums always hold."""

    __slots__ = ("acked", "admitted", "n", "post", "pre")

    def __init__(self) -> None:
        self.n = 0
        self.admitted = 0
        self.acked = 0
        self.pre: Rows = {}
        self.post: Rows = {}

    @property
    def tracked(self) -> int:
        """R101."""
        return self.admitted + sum(self.pre.values())

    @property
    def held(self) -> int:
        """R101: queued and sealed."""
        return self.admitted - self.acked - sum(self.post.values())

    def refuse(self, reason: str, class_: int, count: int = 1) -> None:
        """A `pre` drop."""
        self.pre[reason, class_] = self.pre.get((reason, class_), 0) + count

    def drop(self, reason: str, class_: int, count: int = 1) -> None:
        """A `post` drop."""
        self.post[reason, class_] = self.post.get((reason, class_), 0) + count

    def view(self) -> Dict[str, Any]:
        """Everything but `n`."""
        return {
            "tracked": self.tracked,
            "admitted": self.admitted,
            "acked": self.acked,
            "held": self.held,
            "pre": rows_of(self.pre, PRE),
            "post": rows_of(self.post, POST),
        }

    def dump(self) -> Dict[str, Any]:
        """For the store (R111)."""
        return {"n": self.n, **self.view()}

    def load(self, view: Mapping[str, Any]) -> None:
        """From the store."""
        self.n, self.admitted, self.acked = view["n"], view["admitted"], view["acked"]
        self.pre = {(reason, class_): count for reason, class_, count in view["pre"]}
        self.post = {(reason, class_): count for reason, class_, count in view["post"]}


def rows_of(rows: Rows, names: Tuple[str, ...]) -> List[Row]:
    """Rows in the order of R100."""
    return ordered([(reason, class_, count) for (reason, class_), count in rows.items()], names)


class Epoch:
    """One life of one queue."""

    __slots__ = (
        "_seen",
        "closed",
        "id",
        "journal",
        "late",
        "ledger",
        "recovered",
        "reserved",
        "seq",
        "stuck",
        "told",
    )

    def __init__(self, id_: str, recovered: bool = False) -> None:
        self.id = id_
        self.ledger = Ledger()
        self.seq = 0
        """The last number given."""
        self.reserved = 0
        """The highest number reserved in the store (R111)."""
        self.recovered = recovered
        self.journal: Optional[Journal] = None
        self.closed = False
        """Its last report was acknowledged."""
        self.stuck = False
        """Its last report was refused: the next start tries again."""
        self.late = False
        """The store has been waited for in vain (R111)."""
        self.told: Optional[Dict[str, Any]] = None
        """The ledger as the store has it, if it has anything of the epoch (R116)."""
        self._seen = Ledger().view()

    def report(self, fin: bool, behind: bool = False) -> Dict[str, Any]:
        """The next report (R100). `behind`: the store cannot be told of what it says, so it is what
        the store has, lest a later life of the epoch tells less (R116)."""
        if behind and self.told is not None:
            return {**self.told, "n": self.told["n"] + 1}
        self.ledger.n += 1
        report = self.ledger.dump()
        if fin:
            report["reserved"], report["fin"] = max(self.reserved, self.seq), 1
        return report

    def acknowledged(self, report: Mapping[str, Any]) -> None:
        """The gateway has this report."""
        self._seen = {key: report[key] for key in self._seen}

    @property
    def news(self) -> bool:
        """Whether the ledger differs from the last report acknowledged (R107)."""
        return self._seen != self.ledger.view()

    def view(self) -> Dict[str, Any]:
        """What `stats()` tells of it."""
        return {"epoch": self.id, **self.ledger.view()}
