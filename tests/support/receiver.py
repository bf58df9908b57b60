"""An endpoint that the test answers for: a small HTTP/1.1 server, with TLS if wanted."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook

__all__ = ["Authority", "Received", "Receiver", "Reply"]


@dataclass(frozen=True)
class Reply:
    """``hang_s`` before the answer; ``drop`` closes without any; ``raw`` is sent as it is."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hang_s: float = 0
    drop: bool = False
    raw: bytes = b""


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    target: str
    headers: dict[str, str]
    body: bytes
    sni: str = ""

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found

    def verify(self, secret: str) -> None:
        """By the library, as a receiver would."""
        Webhook(secret).verify(self.body, self.headers)


Answer = Callable[[Received], Reply]


class Receiver:
    """Listens on loopback until the end of its ``async with`` block. ``seen`` is all that came."""

    def __init__(self, answer: Answer | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Received] = []
        self.connections = 0
        self.answer: Answer = answer or (lambda _: Reply())
        self._tls = tls
        self._names: dict[Any, str] = {}
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    async def __aenter__(self) -> Self:
        if self._tls is not None:
            self._tls.sni_callback = self._note_name
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.close()
        await self._server.wait_closed()

    def _note_name(self, connection: Any, name: str | None, _: ssl.SSLContext) -> None:
        self._names[id(connection)] = name or ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        sni = self._names.get(id(writer.get_extra_info("ssl_object")), "")
        try:
            while await self._exchange(reader, writer, sni):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # The other side has gone: nobody waits for an answer any more.
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sni: str
    ) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        received = Received(lines[0].split(" ")[1], headers, body, sni)
        self.seen.append(received)
        reply = self.answer(received)
        if reply.hang_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(reply.hang_s):
                    await reader.read(1)
        if reply.drop:
            return False
        if reply.raw:
            writer.write(reply.raw)
        else:
            more = {"content-length": str(len(reply.body)), **reply.headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {reply.status} X\r\n{head}\r\n".encode() + reply.body)
        await writer.drain()
        return True


class Authority:
    """Signs certificates for tests; ``ca_file`` is its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        own = self._certificate(self._name, self._key, authority=True)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def server(self, host: str) -> ssl.SSLContext:
        """TLS of a server that is this host."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._certificate(subject, key, host=host)
        path = self._folder / f"{host}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        host: str = "",
        authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if host:
            names = x509.SubjectAlternativeName([_general_name(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
