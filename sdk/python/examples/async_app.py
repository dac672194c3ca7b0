"""asyncio: `track` is called as it is, waiting is awaited."""

from __future__ import annotations

import asyncio
import sys

from tidegate import Client


async def main() -> None:
    """A hundred tasks."""
    client = Client("wk_demo", sys.argv[1])

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        client.track("task.done", {"number": number})

    await asyncio.gather(*(work(number) for number in range(100)))
    print("flushed:", await client.flush_async())
    print("closed:", await client.close_async())


asyncio.run(main())
