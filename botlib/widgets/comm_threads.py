"""Who in the kernel takes what a page sends."""

from __future__ import annotations

from typing import Any


def hear_every_page(widget: Any) -> None:
    """Have the main thread of the kernel take what pages send to a widget, from any page.

    ipykernel 7.4 hands a page's message to the subshell that the kernel last spoke to. What the
    runtime sends answers nobody in particular, so that may be the subshell of a page which was
    loaded again since: it is gone, and every message of the new page would be refused.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: None
