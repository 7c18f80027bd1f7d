"""The proxy through which the environment of this process wants a venue reached.

``HTTPS_PROXY`` and ``ALL_PROXY`` name it, in upper or lower case, and ``NO_PROXY`` the hosts that
are reached without it. This computer itself is never reached through a proxy.
"""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

logger = logging.getLogger(__name__)

_NAMES: Final = ("https", "all")
_SCHEMES: Final = ("http", "https")


def is_loopback(host: str) -> bool:
    """Return whether a host is this computer."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def proxy_for(url: str) -> str | None:
    """Return the address of the proxy for an address of TLS, None to reach it directly.

    It may contain a password, so it is not for a log.
    """
    host = urlsplit(url).hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    known = getproxies()
    named = next((known[name] for name in _NAMES if known.get(name)), None)
    if named is None:
        return None
    proxy = named if "://" in named else f"http://{named}"
    scheme = urlsplit(proxy).scheme.lower()
    if scheme in _SCHEMES:
        return proxy
    logger.warning(
        "%s is reached directly: the environment names a proxy that speaks %s, and only HTTP "
        "proxies are used. Set HTTPS_PROXY to one, as http://proxy.example:3128.",
        host,
        scheme,
    )
    return None
