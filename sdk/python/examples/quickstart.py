"""The 60-second start: `python examples/quickstart.py http://127.0.0.1:8080`."""

from __future__ import annotations

import sys

from tidegate import Client

client = Client("wk_demo", sys.argv[1])
client.track("page.view", {"path": "/"})
client.track("order.failed", {"reason": "card"}, class_=0)  # critical
client.track("scroll", {"depth": 0.5}, class_=2)  # bulk: goes first when there is too much
print("everything arrived:", client.close())
print("what became of it:", {name: client.stats()[name] for name in ("tracked", "acked", "held")})
