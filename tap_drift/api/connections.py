"""Connections: limits for each response, and idle connections that the server closed."""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from requests.adapters import HTTPAdapter
from requests.exceptions import ContentDecodingError
from typing_extensions import override
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import socket

    import requests
    from urllib3 import PoolManager, ProxyManager
    from urllib3.response import HTTPResponse as PoolResponse

TOTAL_TIMEOUT_FACTOR = 2
"""A response must be complete after this many times the timeout of a single read."""

MAX_RESPONSE_BYTES = 64 << 20
"""Largest response, as it is sent and decompressed. Drift's are some megabytes at most."""

DOWNLOAD_TIMEOUT_FACTOR = 60
"""As `TOTAL_TIMEOUT_FACTOR`, for a file: an hour, if `request_timeout` is 60 seconds."""

MAX_DOWNLOAD_BYTES = 4 << 30
"""Largest file. Drift documents no limit."""

_CHUNK_BYTES = 64 << 10


class Limits(NamedTuple):
    """The limits of a response."""

    timeout_factor: int
    """The response must be complete after this many times the timeout of a single read."""

    max_bytes: int


class _LimitedReader(io.RawIOBase):
    """Reads a response from a socket, up to a deadline and a size.

    The socket's timeout bounds single reads only.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, limits: Limits) -> None:
        self._raw = raw
        self._socket = sock
        self._read_timeout = sock.gettimeout()
        self._total = limits.timeout_factor * (self._read_timeout or 0.0)
        self._deadline = time.monotonic() + self._total
        self._max_bytes = limits.max_bytes
        self._size = 0

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any, /) -> int | None:
        if self._read_timeout:
            remaining = self._deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"the response was not complete after {self._total:.0f} s")
            self._socket.settimeout(min(remaining, self._read_timeout))
        count = self._raw.readinto(buffer)
        self._size += count or 0
        if self._size > self._max_bytes:
            raise OSError(_too_large(self._max_bytes))
        return count

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _LimitedResponse(HTTPResponse):
    """A response with a deadline and a largest size, headers included."""

    limits: ClassVar[Limits]

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_LimitedReader(self.fp.detach(), sock, self.limits))


class _Connection(HTTPConnection):
    """Sends a GET again, at once, if the server had closed the idle connection."""

    _is_reused = False
    _get: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    @override
    def connect(self) -> None:
        self._is_reused = False
        super().connect()

    @override
    def request(self, method: str, *args: Any, **kwargs: Any) -> None:
        # `close` forgets the tunnel, and the request would be sent to the proxy itself.
        can_repeat = method == "GET" and not self._tunnel_host
        self._get = (args, kwargs) if can_repeat else None
        super().request(method, *args, **kwargs)

    @override
    def getresponse(self) -> PoolResponse:  # type: ignore[override]  # as urllib3's own
        try:
            response = super().getresponse()
        except ConnectionResetError:
            if not (self._is_reused and self._get):
                raise
            self.close()
            args, kwargs = self._get
            self.request("GET", *args, **kwargs)
            response = super().getresponse()
        self._is_reused = True
        return response


def _pool_classes(limits: Limits) -> dict[str, type[HTTPConnectionPool]]:
    """Return the classes of connection pools whose responses have these limits, by URL scheme."""

    class Response(_LimitedResponse):
        pass

    class Connection(_Connection):
        response_class = Response

    class SecureConnection(Connection, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    Response.limits = limits
    return {"http": Pool, "https": SecurePool}


class _LimitedAdapter(HTTPAdapter):
    """An adapter that limits responses in time and size, and reconnects by itself."""

    def __init__(self, limits: Limits, **options: Any) -> None:
        self._pool_classes = _pool_classes(limits)
        super().__init__(**options)

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager: PoolManager
        self.poolmanager.pool_classes_by_scheme = self._pool_classes

    @override
    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **proxy_kwargs)
        if not proxy.lower().startswith("socks"):  # these have connections of their own
            manager.pool_classes_by_scheme = self._pool_classes
        return manager


class DownloadAdapter(_LimitedAdapter):
    """An adapter for files: its limits are higher, and the caller reads the body."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Limits(DOWNLOAD_TIMEOUT_FACTOR, MAX_DOWNLOAD_BYTES), **options)


class DriftAdapter(_LimitedAdapter):
    """An adapter for Drift's API, which reads the body."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Limits(TOTAL_TIMEOUT_FACTOR, MAX_RESPONSE_BYTES), **options)

    @override
    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        load_body(response)
        return response


def load_body(response: requests.Response) -> None:
    """Read the body of a response, up to `MAX_RESPONSE_BYTES`.

    A small body can decompress to gigabytes, and requests has no limit.

    Raises:
        ContentDecodingError: If it is larger.
    """
    chunks: list[bytes] = []
    size = 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_RESPONSE_BYTES:
            response.close()
            raise ContentDecodingError(_too_large(MAX_RESPONSE_BYTES))
    response._content = b"".join(chunks)  # noqa: SLF001 - where requests keeps it


def _too_large(limit: int) -> str:
    return f"the response is larger than {limit >> 20} MiB"
