"""The outputs of a Jupyter kernel, with secrets masked.

Tracebacks may show variables (``%xmode Verbose``), libraries print, and cells print what they like.
All outputs leave a kernel through one method of its session, where their texts are masked. What a
person sees of them is the same in a notebook that is saved.
"""

from __future__ import annotations

from typing import Any, Final

from botlib.core.text.masking import masked_values

OUTPUTS: Final = frozenset(
    {"stream", "display_data", "update_display_data", "execute_result", "error", "execute_reply"}
)
"""Types of the messages that are masked: outputs, and the reply, which repeats an error."""

_WRAPPED: Final = "_botlib_masked"


def mask_outputs(kernel: Any) -> None:
    """Mask secrets in all outputs of a kernel from now on; a second call changes nothing."""
    session = kernel.session
    if getattr(session, _WRAPPED, False):
        return
    send = session.send

    def send_masked(
        stream: Any, msg_or_type: Any, content: Any = None, *rest: Any, **more: Any
    ) -> Any:
        if isinstance(msg_or_type, dict):
            if msg_or_type.get("msg_type") in OUTPUTS:
                shown = masked_values(msg_or_type["content"])
                msg_or_type = {**msg_or_type, "content": shown}
            return send(stream, msg_or_type, content, *rest, **more)
        if msg_or_type in OUTPUTS:
            content = masked_values(content)
        return send(stream, msg_or_type, content, *rest, **more)

    session.send = send_masked
    setattr(session, _WRAPPED, True)
