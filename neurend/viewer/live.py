"""A local web page that sends sound and shows pictures made of it, served by the standard library alone.

Only programs on this machine reach it: it listens on the loopback interface, unless `allow_remote` says otherwise and a
token is given, which every request must then bear. Other web sites that the same browser shows are kept out: requests
must name this host (against DNS rebinding) and come from this page. All that is read is limited in size and time.

The page posts pieces of sound, float32, with the number of samples before each, and reads one endless answer with a
header (`HEADER`) and a JPEG for each frame. A new talk ends the one before.
"""

import contextlib
import hmac
import ipaddress
import json
import secrets
import socket
import struct
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from neurend.checks import InputError
from neurend.viewer.live_session import Session, Show

HEADER = struct.Struct('<IIIf')
"""Bytes of the JPEG, number of the frame, frames left out so far, seconds from the sound that completed it."""
MOST = 1 << 18
"""Bytes of a request's body."""
_TOKEN = 16  # characters at least
_CONNECTIONS = 16
_SECONDS = 10.0  # of silence on a connection or in a talk, after which it is closed
_REPORTED = 100_000  # latencies of a talk that are kept
_FILES = {
    '/': ('live.html', 'text/html; charset=utf-8'),
    '/live.js': ('live.js', 'text/javascript; charset=utf-8'),
    '/microphone.js': ('microphone.js', 'text/javascript; charset=utf-8'),
}
_HEADERS = {
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Permissions-Policy': 'microphone=(self)',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
}


class RefusedError(Exception):
    """A request that is not served."""

    def __init__(self, status: HTTPStatus, why: str):
        super().__init__(why)
        self.status = status


class Server(ThreadingHTTPServer):
    """The page of one show; `serve_forever` serves it.

    Args:
        show: what is shown.
        host: name or address to listen on.
        port: 0 for any that is free.
        allow_remote: whether `host` may be reached from other machines.
        token: that requests must bear; '' for none, on this machine.
        quality: of the JPEG.

    Attributes:
        session: the talk, if one has begun.
        reports: milliseconds from a frame's own sound to its picture, as the page of this talk has measured.
        dropped: frames that it has not shown.

    Raises:
        InputError: an address that other machines reach, without leave or without a token; a token that could be
            guessed; or an address that cannot be had.
    """

    daemon_threads = True
    request_queue_size = 2 * _CONNECTIONS

    def __init__(
        self, show: Show, *, host: str = '127.0.0.1', port: int = 0, allow_remote: bool = False, token: str = '',
        quality: int = 85,
    ):  # fmt: skip
        check_address(host, allow_remote=allow_remote, token=token)
        self.address_family = socket.AF_INET6 if ':' in host else socket.AF_INET
        self.show, self.token, self.host, self.quality = show, token, host, quality
        self.session: Session | None = None
        self.name_of_session = ''
        self.reports: list[float] = []
        self.dropped = 0
        self._lock, self._slots = threading.Lock(), threading.BoundedSemaphore(_CONNECTIONS)
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise InputError(f'{host}:{port}: cannot be served ({error.strerror}). Choose another port') from error

    @property
    def url(self) -> str:
        """Of the page, without the token."""
        host = f'[{self.host}]' if ':' in self.host else self.host
        return f'http://{host}:{self.server_port}/'

    def server_bind(self) -> None:
        """Without the look-up of this machine's name that the standard library would make."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.host, self.server_address[1]

    def names(self, host: str) -> bool:
        """Whether a request's Host is this server."""
        name = urlsplit(f'//{host}').hostname or ''
        local = _loopback(self.host)
        if not local and ipaddress_of(self.host) is not None:
            return True  # any name that leads here; the token keeps others out
        with contextlib.suppress(ValueError):
            port = urlsplit(f'//{host}').port
            return (port or 80) == self.server_port and (_loopback(name) if local else name == self.host)
        return False

    def begin(self, rate: int) -> str:
        """Ends the talk there is and begins another; returns its name, which nobody else can guess."""
        session = Session(self.show, rate, quality=self.quality)
        with self._lock:
            before, self.session = self.session, session
            self.name_of_session, self.reports, self.dropped = secrets.token_urlsafe(16), [], 0
            name = self.name_of_session
        if before is not None:
            before.close()
        return name

    def talk(self, name: str) -> Session:
        """The talk of a name.

        Raises:
            RefusedError: it has ended.
        """
        with self._lock:
            session = self.session
            if session is None or session.closed or not same(name, self.name_of_session):
                wrong = session is not None and session.problem is not None
                why = 'something went wrong, see where the program runs' if wrong else 'begin another'
                raise RefusedError(HTTPStatus.GONE, f'this talk has ended; {why}')
            return session

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a connection in a thread of its own, if not too many are served."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Is quiet about connections that end."""

    def server_close(self) -> None:
        """Ends the talk too."""
        super().server_close()
        if self.session is not None:
            self.session.close()


class Handler(BaseHTTPRequestHandler):
    """Requests of the page."""

    protocol_version = 'HTTP/1.1'
    server_version, sys_version = 'neurend', ''
    timeout = _SECONDS
    disable_nagle_algorithm = True
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self._answer({'/frames': self._frames} | dict.fromkeys(_FILES, self._file))

    def do_POST(self) -> None:
        self._answer({'/start': self._start, '/audio': self._audio, '/shown': self._shown, '/stop': self._stop})

    def log_message(self, format: str, *args: Any) -> None:
        """Is quiet."""

    def _answer(self, known: dict[str, Any]) -> None:
        try:
            parts = urlsplit(self.path)
            self._query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            act = known.get(parts.path)
            self._check(public=act == self._file)
            if act is None:
                raise RefusedError(HTTPStatus.NOT_FOUND, 'no such page')
            act()
        except RefusedError as error:
            self._send(error.status, json.dumps({'error': str(error)}).encode())
        except (InputError, ValueError) as error:
            self._send(HTTPStatus.BAD_REQUEST, json.dumps({'error': str(error)}).encode())
        except (OSError, TimeoutError):
            self.close_connection = True

    def _check(self, *, public: bool) -> None:
        """Refuses whom the page is not for."""
        hosts = self.headers.get_all('Host', [])
        if len(hosts) != 1 or not self.server.names(hosts[0]):
            raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, 'not the host of this page')
        origin = self.headers.get('Origin')
        # Of the page itself; a browser says so of every request that could change something.
        if origin is not None and urlsplit(origin).netloc != hosts[0]:
            raise RefusedError(HTTPStatus.FORBIDDEN, 'not from this page')
        if self.headers.get('Sec-Fetch-Site', 'none') not in ('same-origin', 'none') and not public:
            raise RefusedError(HTTPStatus.FORBIDDEN, 'not from this page')
        bearer = self.headers.get('Authorization', '').removeprefix('Bearer ')
        if self.server.token and not public and not same(bearer, self.server.token):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, 'the token is missing or wrong')

    def _body(self, kind: str) -> bytes:
        # Two types that no form of another site can send.
        if self.headers.get_content_type() != kind:
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f'expected {kind}')
        length = self.headers.get('Content-Length', '')
        if not (length.isascii() and length.isdigit()) or 'Transfer-Encoding' in self.headers:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, 'expected a Content-Length')
        if len(length) > 9 or int(length) > MOST:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f'expected at most {MOST} bytes')
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise OSError('the connection has ended')
        self._read = True
        return data

    def _json(self) -> dict[str, Any]:
        found = json.loads(self._body('application/json'))
        if not isinstance(found, dict):
            raise InputError('expected an object')
        return found

    def _talk(self) -> Session:
        return self.server.talk(self._query.get('session', ''))

    def _file(self) -> None:
        name, kind = _FILES[urlsplit(self.path).path]
        self._send(HTTPStatus.OK, resources.files('neurend.viewer').joinpath(name).read_bytes(), kind)

    def _start(self) -> None:
        rate = self._json().get('rate')
        if type(rate) is not int:
            raise InputError(f'rate: got {rate!r}, expected samples per second')
        show = self.server.show
        name = self.server.begin(rate)
        width, height = show.size
        answer = {'session': name, 'name': show.name, 'fps': show.fps, 'width': width, 'height': height}
        self._send(HTTPStatus.OK, json.dumps(answer | {'wait': show.wait}).encode())

    def _audio(self) -> None:
        session, data = self._talk(), self._body('application/octet-stream')
        start = self._query.get('start', '')
        if not (start.isascii() and start.isdigit() and len(start) < 16):
            raise InputError(f'start: got {start[:20]!r}, expected the number of samples before')
        if not data or len(data) % 4:
            raise InputError(f'sound: got {len(data)} bytes, expected whole samples of float32')
        samples = np.frombuffer(data, '<f4')
        if not np.isfinite(samples).all():
            raise InputError('sound: expected finite samples')
        session.push(int(start), np.clip(samples, -1, 1))
        self._send(HTTPStatus.NO_CONTENT, b'')

    def _shown(self) -> None:
        self._talk()
        told = self._json()
        times, dropped = told.get('latency_ms'), told.get('dropped')
        if not isinstance(times, list) or not all(type(each) in (int, float) and 0 <= each < 1e6 for each in times):
            raise InputError('latency_ms: expected a list of milliseconds')
        if type(dropped) is not int or dropped < 0:
            raise InputError('dropped: expected a number of frames')
        self.server.dropped = dropped
        if len(self.server.reports) + len(times) <= _REPORTED:
            self.server.reports.extend(times)
        self._send(HTTPStatus.NO_CONTENT, b'')

    def _stop(self) -> None:
        session = self._talk()
        self._body('application/json')
        session.close()
        self._send(HTTPStatus.NO_CONTENT, b'')

    def _frames(self) -> None:
        session = self._talk()
        self._head(HTTPStatus.OK, 'application/octet-stream', {'Transfer-Encoding': 'chunked'})
        try:
            while not session.closed and time.monotonic() - session.touched < _SECONDS:
                sent = session.take(1.0)
                if sent is not None:
                    data = HEADER.pack(len(sent.picture), sent.frame, sent.dropped, sent.seconds) + sent.picture
                    self.wfile.write(b'%x\r\n' % len(data) + data + b'\r\n')
            self.wfile.write(b'0\r\n\r\n')
        finally:
            session.close()

    def _send(self, status: HTTPStatus, data: bytes, kind: str = 'application/json') -> None:
        if self.command == 'POST' and not getattr(self, '_read', False):
            self.close_connection = True  # what was not read would be taken for the next request
        self._read = False
        more = {} if status == HTTPStatus.NO_CONTENT else {'Content-Length': str(len(data))}
        if self.close_connection:
            more['Connection'] = 'close'
        self._head(status, kind, more)
        self.wfile.write(data)

    def _head(self, status: HTTPStatus, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (_HEADERS | {'Content-Type': kind} | more).items():
            self.send_header(name, value)
        self.end_headers()


def check_address(host: str, *, allow_remote: bool, token: str) -> None:
    """Checks that only this machine reaches an address, or that others may and need a token.

    Raises:
        InputError: others reach it without leave or without a token, or the token could be guessed.
    """
    if token and (len(token) < _TOKEN or not token.isascii() or not token.isprintable()):
        raise InputError(f'token: got {len(token)} characters, expected at least {_TOKEN}, all of them ASCII')
    if _loopback(host):
        return
    if not allow_remote:
        raise InputError(
            f'host: got {host!r}, which other machines reach, expected 127.0.0.1. Say --allow_remote if that is meant, '
            'and give a token'
        )
    if not token:
        raise InputError(f'host: got {host!r}, which other machines reach, and no token; expected one')


def ipaddress_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is written as; None if it is a name."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    return None


def _loopback(host: str) -> bool:
    address = ipaddress_of(host)
    return host == 'localhost' if address is None else address.is_loopback


def same(given: str, wanted: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(given.encode(), wanted.encode())
