"""The façade a person types: one object, every call usable from a cell without ``await``."""

from botlib.bot.connect import connect, project_directory
from botlib.bot.core import AsyncBot
from botlib.bot.facade import Bot

__all__ = ["AsyncBot", "Bot", "connect", "project_directory"]
