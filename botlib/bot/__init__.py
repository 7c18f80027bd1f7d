"""The bot as a person uses it in a notebook: one object, every call usable without ``await``.

A configuration enters through `connect`; frames, charts, tables and reports leave. The engine does
the work: this package only starts it on the runtime thread, and waits for its answers.
"""

from botlib.bot.async_bot import AsyncBot
from botlib.bot.bot import Bot
from botlib.bot.connect import connect
from botlib.core.project import project_directory

__all__ = ["AsyncBot", "Bot", "connect", "project_directory"]
