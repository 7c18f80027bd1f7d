"""What lies between this computer and a venue, in sentences that say what to do.

Errors of aiohttp, HTTP states and answers that are no answers of the venue enter; sentences leave.
They contain no address with a query: a signed one contains the signature.
"""

from __future__ import annotations

import errno
import html
import os
import re
import ssl
from typing import Final

import aiohttp

WITHOUT: Final = (
    "Without the venue, bl.connect() trades on a synthetic market, and bl.research() reads what is "
    "stored."
)
OFFLINE: Final = "BOTLIB_OFFLINE"
"""Environment variable that keeps every request on this computer, as the tests do."""

CLOCK_WRONG: Final = 60_000
"""Difference of the clocks in ms from which a person is asked to set the computer's clock."""

_BETWEEN: Final = (
    "A proxy, or the page on which a network wants a sign-in, stands between this computer and the "
    "venue. Open any page in a browser and sign in, or have the venue's addresses let through, and "
    "try again."
)
_STATES: Final = {
    403: (
        "A firewall turned the request away before the venue looked at it: it does so with some "
        "countries, data centres and proxies. Try from another network, without a proxy or VPN."
    ),
    407: f"A proxy wants a sign-in. {_BETWEEN}",
    451: (
        "The venue does not serve the country that this computer's address belongs to; trying "
        "again does not help. Files of candles can still be imported: bl.research().import_files."
    ),
    511: f"This network wants a sign-in. {_BETWEEN}",
}
_UNROUTED: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<(script|style).*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_SHOWN: Final = 120


def offline_advice() -> str:
    """Return why nothing beyond this computer is asked, empty if it may be."""
    if os.environ.get(OFFLINE, "") in ("", "0"):
        return ""
    return f"{OFFLINE} is set, so nothing beyond this computer is asked: unset it. {WITHOUT}"


def is_page(body: str | None) -> bool:
    """Return whether the body of an answer is an HTML page."""
    return bool(re.match(r"\s*<(!doctype|html|head|body|\?xml|!--)", body or "", re.IGNORECASE))


def page_title(body: str) -> str:
    """Return the title of an HTML page, or the beginning of its text."""
    found = _TITLE.search(body)
    text = found[1] if found else _TAG.sub(" ", body)
    return " ".join(html.unescape(text).split())[:_SHOWN]


def state_advice(status: int) -> str:
    """Return what an HTTP state without an error of the venue means, empty if nothing special."""
    if status in _STATES:
        return f"{_STATES[status]} {WITHOUT}"
    if status >= 500:
        return "The venue, or a proxy in front of it, fails at the moment. Try again later."
    return ""


def foreign_answer(body: str | None) -> str:
    """Return what an answer means that succeeded, but is none of the venue's."""
    text = body or ""
    if is_page(text):
        found = f"an HTML page ({page_title(text)!r})"
    else:
        found = f"{text.strip()[:_SHOWN]!r}" if text.strip() else "nothing"
    return f"What answers is not the venue: {found} came in place of its data. {_BETWEEN} {WITHOUT}"


def connection_advice(error: BaseException, patience: float) -> str:
    """Return what a failed connection or a missing answer means.

    Args:
        error: of aiohttp or the system.
        patience: seconds for which an answer was awaited.
    """
    if isinstance(error, aiohttp.WSServerHandshakeError):
        advice = state_advice(error.status) or foreign_answer(None)
        return f"A stream was refused (HTTP {error.status}). {advice}"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        # Its text has the address of the proxy, which may contain a password.
        advice = state_advice(error.status) or WITHOUT
        return f"The proxy refused the connection to the venue (HTTP {error.status}). {advice}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return (
            f"The proxy {error.host}:{error.port} cannot be reached. HTTPS_PROXY or ALL_PROXY has "
            f"it: correct that, or name the hosts of the venue in NO_PROXY. {WITHOUT}"
        )
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)):
        return (
            f"{_certificate(error)} is not trusted. If the computer's clock is right, something "
            f"stands in between. {_BETWEEN} If it is a proxy that you trust, name a file of its "
            "certificate in SSL_CERT_FILE."
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return (
            f"The name {error.host} cannot be resolved: this computer has no network, or its name "
            f"service does not answer. Check the connection. {WITHOUT}"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        if error.os_error.errno in _UNROUTED:
            return f"{error}. There is no network. Check the connection. {WITHOUT}"
        return f"{error}. Check the network, or that the paper exchange runs."
    if isinstance(error, TimeoutError):
        return (
            f"The connection stands, but no answer came within {patience:g} s: the venue or the "
            "line stalls. Try again; a status page of the venue says whether it is in maintenance."
        )
    if isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        return (
            "The connection was cut before the answer. If that happens every time, a proxy or a "
            "firewall does it: try from another network."
        )
    return f"{type(error).__name__}. Check the network, or that the paper exchange runs."


def wrong_clock(difference: int) -> str:
    """Return what a difference of the clocks means.

    Args:
        difference: by how many ms the computer's clock is ahead of the venue's.
    """
    seconds = abs(difference) / 1_000
    side = "ahead of" if difference > 0 else "behind"
    shown = f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:g} s"
    text = f"The computer's clock is {shown} {side} the venue's; requests use the venue's."
    if abs(difference) < CLOCK_WRONG:
        return text
    return (
        f"{text} Set it (timedatectl set-ntp true, or the automatic time of the system's settings):"
        " certificates, logs and schedules depend on it."
    )


def _certificate(error: BaseException) -> str:
    host = getattr(error, "host", "")
    return f"The certificate of {host}" if host else "The certificate of the venue"
