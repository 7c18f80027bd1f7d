"""A little HTTP proxy on this computer, behind which a paper exchange stands for the real venue.

The proxy takes ``CONNECT host:port`` for any host, and leads all of them to a server of TLS here
whose certificate names the hosts of the venue. It passes everything on to the paper exchange, which
answers to the name of this computer only.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class LittleProxy:
    """The proxy, and what it was asked for.

    Attributes:
        certificate: file of the certificate that the server behind it shows.
        refuses: HTTP status with which it refuses every host, 0 for none.
        targets: hosts and ports that were asked for.
        authorizations: values of the header that carries name and password.
    """

    certificate: Path
    port: int = 0
    refuses: int = 0
    targets: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def with_password(self) -> str:
        return f"http://somebody:pass-of-the-proxy@{LOOPBACK}:{self.port}"


@asynccontextmanager
async def little_proxy(
    exchange_url: str, folder: Path, hosts: tuple[str, ...]
) -> AsyncIterator[LittleProxy]:
    """Run a proxy whose hosts are all a paper exchange.

    Args:
        exchange_url: address of the paper exchange.
        folder: where the certificate is written.
        hosts: names that the certificate is for.
    """
    proxy = LittleProxy(folder / "certificate.pem")
    key = folder / "key.pem"
    _certify(proxy.certificate, key, hosts)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(proxy.certificate, key)
    behind = urlsplit(exchange_url)
    tasks: set[asyncio.Task[None]] = set()

    def kept(work: asyncio.Task[None] | None) -> None:
        assert work is not None
        tasks.add(work)
        work.add_done_callback(tasks.discard)

    async def terminate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept(asyncio.current_task())
        assert behind.hostname is not None and behind.port is not None
        await _joined(reader, writer, behind.hostname, behind.port)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(maxsplit=2)
        proxy.targets.append(target)
        proxy.authorizations += [
            line.partition(": ")[2]
            for line in head.split("\r\n")
            if line.lower().startswith("proxy-authorization")
        ]
        if proxy.refuses or method != "CONNECT":
            writer.write(
                f"HTTP/1.1 {proxy.refuses or 405} No\r\nContent-Length: 0\r\n\r\n".encode()
            )
            await writer.drain()
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _joined(reader, writer, LOOPBACK, inner.sockets[0].getsockname()[1])

    inner = await asyncio.start_server(terminate, LOOPBACK, 0, ssl=context)
    outer = await asyncio.start_server(connect, LOOPBACK, 0)
    proxy.port = outer.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        for server in (outer, inner):
            server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _joined(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    """Pass bytes between a connection and another one until either ends."""
    there, onward = await asyncio.open_connection(host, port)
    try:
        with suppress(ConnectionError, ssl.SSLError):
            await asyncio.wait(
                {
                    asyncio.ensure_future(_passed(reader, onward, f"{host}:{port}")),
                    asyncio.ensure_future(_passed(there, writer)),
                },
                return_when=asyncio.FIRST_COMPLETED,
            )
    finally:
        for one in (onward, writer):
            one.transport.abort()


async def _passed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = ""
) -> None:
    """Pass on bytes; with ``host``, as its requests."""
    named = f"\r\nHost: {host}\r\n".encode()
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(
                re.sub(rb"(?i)\r\nhost: [^\r]+\r\n", named, data, count=1) if host else data
            )
            await writer.drain()


def _certify(certificate: Path, key: Path, hosts: tuple[str, ...]) -> None:
    """Write a certificate of the hosts that signs itself, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a proxy of the tests")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in hosts]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
