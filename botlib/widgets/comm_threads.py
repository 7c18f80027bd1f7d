"""The thread of the kernel that receives the messages of pages."""

from __future__ import annotations

from typing import Any


def receive_on_main_thread(widget: Any) -> None:
    """Receive the messages that pages send to a widget on the main thread of the kernel.

    ipykernel 7.4 routes the message of a page to the subshell of the kernel's last reply. A message
    of the runtime is no reply, so that this may be the subshell of a page that was reloaded since:
    it no longer exists, and every message of the new page would be refused.
    """
    comm = widget.comm
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: None
