"""Log records as events."""

from __future__ import annotations

import logging
import sys

from tidegate import Client
from tidegate.logging import TidegateHandler

client = Client("wk_demo", sys.argv[1])
logging.basicConfig(level=logging.INFO, handlers=[TidegateHandler(client)])
logging.getLogger("app").info("started")
try:
    raise ValueError("an example")
except ValueError:
    logging.getLogger("app").exception("failed")
print("everything arrived:", client.close())
