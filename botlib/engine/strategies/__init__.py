"""The strategies of an engine: how people start them, and what state they are in."""
