"""The common ground of all packages: domain types, errors, time, the event bus and small helpers.

It imports no other package of botlib, and holds no state of its own. Values enter as texts, numbers
and timestamps of users and venues; checked domain types, events and HTML or text tables leave.
"""
