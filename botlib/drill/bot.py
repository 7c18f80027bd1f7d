"""The process of a drill's bot: settings come as a line of JSON, then it runs until input ends."""

from __future__ import annotations

import asyncio
import json
import logging
import sys

from botlib.config import Settings
from botlib.engine import Orchestrator


async def main() -> None:
    """Start the bot, say where its health is, and stop when nobody holds the other end."""
    settings = Settings().override(json.loads(sys.stdin.readline()))
    engine = Orchestrator(settings)
    await engine.start()
    try:
        ready = {"health": engine.control.url, "database": engine.database}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await engine.stop()


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    asyncio.run(main())
