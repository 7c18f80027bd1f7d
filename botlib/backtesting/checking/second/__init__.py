"""A second look at a strategy, in a process that has seen none of it before.

A strategy and questions about it go there; its answers and what changed them come back, and
are judged here.
"""
