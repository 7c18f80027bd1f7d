"""The façade a person types: one object, every call usable from a cell without ``await``."""

from botlib.bot.async_bot import AsyncBot
from botlib.bot.bot import Bot
from botlib.bot.connect import connect, project_directory

__all__ = ["AsyncBot", "Bot", "connect", "project_directory"]
