"""The emulated cloud on real sockets: a thin aiohttp shell around protocol.py.

    async with CloudServer("demo", tls=True) as server:       # in an asyncio loop
        connect(server.url, server.token, server.ca_der_folder)
        await server.until(lambda s: s.turns and s.turns[0].is_over)

    with CloudServer("demo").in_thread() as server:           # beside blocking code
        server.wait_until(lambda s: len(s.turns) == 3)

Nothing is decided here: bytes and time go in, messages come out. Port 0 takes a free one.
"""

import asyncio
import contextlib
import random
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from . import outgoing, protocol, scenario
from .authority import Authority
from .recorder import Recorder, Several

_CLOSE_TIMEOUT_S = 2.0
_MESSAGE_MOST_BYTES = 4 * 1024 * 1024
_DRAIN_TIMEOUT_S = 5.0
_TLS_GOODBYE_S = 0.02


class CloudServer:
    """scenario: whatever scenario.load takes; token: what a client must bear, None for any.

    tls       False: plain ws://; True: TLS with its authority in a temporary folder; a path: in that folder
    tls_hosts names in the certificate, for those who want a wrong one
    record    a folder for recorder.Recorder, or None; observer: a records.Observer of your own beside it
    seed      of all chance; keeps_audio: False forgets sound as it goes (runs of hours)
    Sockets are bound on loopback (IPv4, and IPv6 where there is any) unless `host` names another address.
    """

    def __init__(self, scenario_source="default", token="pat_emulated", host=None, port=0, tls=False,
                 tls_hosts=("localhost", "127.0.0.1", "::1"), record=None, seed=1, keeps_audio=True, observer=None):
        self.scenario = scenario.load(scenario_source)
        self.token = token
        self.host = host
        self.port = port
        self.is_tls = tls is not False
        self._tls_folder = None if tls in (True, False) else Path(tls)
        self._tls_hosts = tls_hosts
        self._temporary = None
        self.authority = None
        self._recorder = Recorder(record) if record is not None else None
        observers = [one for one in (self._recorder, observer) if one is not None]
        self._started_s = time.monotonic()
        self.cloud = protocol.Cloud(
            self.scenario, random.Random(seed), token, unix_ms=int(time.time() * 1000),
            observer=Several(observers), keeps_audio=keeps_audio,
        )
        self._runner = None
        self._shells = set()
        self._changed = threading.Condition()
        self._waiters = set()

    # --- what one needs to connect, and what happened ---

    @property
    def url(self):
        return "%s://%s:%d%s" % ("wss" if self.is_tls else "ws", self.host or "localhost", self.port, protocol.PATH)

    @property
    def ca_pem(self):
        """Path of the root certificate as PEM, None without TLS."""
        return str(self.authority.pem) if self.authority else None

    @property
    def ca_der_folder(self):
        """Folder that holds the root as DER, None without TLS."""
        return str(self.authority.der_folder) if self.authority else None

    @property
    def turns(self):
        return self.cloud.turns

    @property
    def utterances(self):
        return self.cloud.utterances

    @property
    def connections(self):
        return self.cloud.connections

    def now_ms(self):
        """The clock of all records: ms since this server was made."""
        return int((time.monotonic() - self._started_s) * 1000)

    async def until(self, predicate, timeout_s=10.0):
        """Wait, in the server's own loop, until predicate(self) is true; TimeoutError otherwise."""
        async def wait():
            while not predicate(self):
                event = asyncio.Event()
                self._waiters.add(event)
                await event.wait()

        try:
            await asyncio.wait_for(wait(), timeout_s)
        except asyncio.TimeoutError:
            raise TimeoutError("the emulated cloud did not get there in %g s" % timeout_s) from None

    def wait_until(self, predicate, timeout_s=10.0):
        """The same for blocking code in another thread."""
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self), timeout_s):
                raise TimeoutError("the emulated cloud did not get there in %g s" % timeout_s)

    def _tell(self):
        waiters, self._waiters = self._waiters, set()
        for event in waiters:
            event.set()
        with self._changed:
            self._changed.notify_all()

    # --- life ---

    async def start(self):
        """Bind and serve; the url is valid from here on. OSError: the port is taken."""
        context = self._make_tls() if self.is_tls else None
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_TIMEOUT_S)
        await self._runner.setup()
        for sock in _listening_sockets(self.host, self.port):
            self.port = sock.getsockname()[1]
            await web.SockSite(self._runner, sock, ssl_context=context).start()

    async def stop(self):
        """Close every connection (1001) and every socket; may be called twice."""
        await asyncio.gather(*(shell.finish(outgoing.Close(1001, "server stops")) for shell in list(self._shells)))
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._recorder is not None:
            self._recorder.close()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        self._tell()

    async def drop_connections(self, is_reset=False):
        """Pull the cable: every stream ends without a close frame."""
        await asyncio.gather(*(shell.finish(outgoing.Drop(is_reset)) for shell in list(self._shells)))

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    @contextlib.contextmanager
    def in_thread(self):
        """Serve from a thread of its own; gives the server. Its errors at start are raised here."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="emulated-cloud", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _make_tls(self):
        if self._tls_folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="pipit-cloud-")
        self.authority = Authority(self._tls_folder or self._temporary.name, self._tls_hosts)
        return self.authority.server_context()

    # --- a request ---

    async def _handle(self, request):
        headers = {name.lower(): value for name, value in request.headers.items()}
        refusal = self.cloud.refusal(request.path, request.query, headers)
        if refusal:
            self._tell()
            return web.Response(status=refusal.status, headers=refusal.headers, text=refusal.body)
        if self.scenario.wrong_accept:
            return _wrong_accept(request)
        # Compression would hide the frames; pings are the protocol object's business.
        ws = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=_MESSAGE_MOST_BYTES,
                                   timeout=_CLOSE_TIMEOUT_S)
        if not ws.can_prepare(request).ok:
            return web.Response(status=426, text="a WebSocket handshake is expected here")
        link = self.cloud.connect(request.query, headers, self.now_ms())
        ws.headers["x-tt-logid"] = link.logid
        await ws.prepare(request)
        shell = _Shell(self, link, ws, request.transport)
        self._shells.add(shell)
        try:
            await shell.run()
        finally:
            self._shells.discard(shell)
            self._tell()
        return ws


class _Shell:
    """One connection: a reader (the handler itself) and one writer task."""

    def __init__(self, server, link, ws, transport):
        self._server = server
        self._link = link
        self._ws = ws
        self._transport = transport
        self._wake = asyncio.Event()
        self._writer = None

    async def run(self):
        self._writer = asyncio.ensure_future(self._write())
        try:
            async for message in self._ws:
                self._receive(message)
        finally:
            self._link.lost(self._server.now_ms(), self._ws.close_code)
            self._wake.set()
            # The writer may be stuck behind a peer that reads nothing any more.
            done, _ = await asyncio.wait([self._writer], timeout=_CLOSE_TIMEOUT_S)
            self._writer.cancel()
        for task in done:
            task.result()  # a bug of ours ends in the log, not in silence

    def _receive(self, message):
        now_ms = self._server.now_ms()
        if message.type is aiohttp.WSMsgType.TEXT:
            self._link.receive_text(message.data, now_ms)
        elif message.type is aiohttp.WSMsgType.BINARY:
            self._link.receive_binary(message.data, now_ms)
        elif message.type is aiohttp.WSMsgType.PING:
            self._link.receive_ping(message.data, now_ms)
        elif message.type is aiohttp.WSMsgType.PONG:
            self._link.receive_pong(message.data, now_ms)
        self._wake.set()

    async def finish(self, out):
        """End the connection from the server's side and wait for it."""
        self._link.advance(self._server.now_ms())
        self._link.end(out)
        self._wake.set()
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=_CLOSE_TIMEOUT_S * 2)

    async def _write(self):
        try:
            await self._write_until_over()
        except ConnectionError:
            pass  # the reader meets the same end
        except Exception:
            self._transport.abort()
            raise

    async def _write_until_over(self):
        link, server = self._link, self._server
        while True:
            self._wake.clear()
            link.advance(server.now_ms())
            for out in link.take():
                await self._put(out)
            server._tell()
            if link.is_over:
                return
            await self._sleep_until(link.next_deadline_ms)

    async def _sleep_until(self, deadline_ms):
        timeout_s = None if deadline_ms is None else max(0, deadline_ms - self._server.now_ms()) / 1000
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout_s)

    async def _put(self, out):
        if isinstance(out, outgoing.Text):
            await self._ws.send_str(out.text)
        elif isinstance(out, outgoing.Binary):
            await self._ws.send_bytes(out.data)
        elif isinstance(out, outgoing.Ping):
            await self._ws.ping(out.data)
        elif isinstance(out, outgoing.Pong):
            await self._ws.pong(out.data)
        elif isinstance(out, outgoing.Close):
            await self._ws.close(code=out.code, message=out.reason.encode())
        elif isinstance(out, outgoing.Drop):
            await self._drop(out.is_reset)
        else:
            # aiohttp makes no such frames: past it, straight to the stream.
            self._transport.write(outgoing.to_wire(out))

    async def _drop(self, is_reset):
        # What was "sent" before the drop has to arrive, or the records would lie.
        give_up_s = time.monotonic() + _DRAIN_TIMEOUT_S
        while self._transport.get_write_buffer_size() and time.monotonic() < give_up_s:
            await asyncio.sleep(0.005)
        if is_reset:
            _reset_on_close(self._transport.get_extra_info("socket"))
        else:
            # TLS says goodbye, then the stream ends: asyncio by itself would wait for the peer's goodbye in between.
            self._transport.close()
            await asyncio.sleep(_TLS_GOODBYE_S)
        self._transport.abort()


def _reset_on_close(sock):
    # Linger on, zero seconds: close() sends RST.
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _wrong_accept(request):
    request.transport.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    )
    request.transport.close()
    return web.Response()


def _listening_sockets(host, port):
    """Loopback on IPv4, and on IPv6 under the same port where that works; or just `host`."""
    if host is not None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return [_listen(family, host, port)]
    sockets = [_listen(socket.AF_INET, "127.0.0.1", port)]
    # A client that resolves localhost to ::1 first must not meet a stranger or a refusal.
    with contextlib.suppress(OSError):
        sockets.append(_listen(socket.AF_INET6, "::1", sockets[0].getsockname()[1]))
    return sockets


def _listen(family, host, port):
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
