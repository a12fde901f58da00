"""The second WebSocket: a Link (link.py has the contract) over aiohttp's ws_connect, chosen by "websocket": "aiohttp".

On the desktop aiohttp is PyPI's, a witness from another hand: the same conversation must give the same events over
both. On a device it is micropython-lib's, which copies and masks byte by byte and never pings: a connection that died
silently is noticed by the next write only. The default is link.py; this file is small and allocates freely.
"""

import asyncio

from frame_queue import AUDIO, END
from ws_protocol import WSRefused

from .. import errors
from ..compat import const
from ..errors import CloudError, ConfigError, LinkError, PipitError
from .link import Refused

_AUDIO_BUFFER_BYTES = const(2048)
_NORMAL_CODES = (1000, 1001, 1005)
_CLOSE_KINDS = {1008: errors.REFUSED, 1011: errors.BUSY, 1012: errors.BUSY, 1013: errors.BUSY, 1014: errors.BUSY}


class AiohttpLink:
    """The arguments and the face of link.Link."""

    def __init__(self, config, ports, trace, uplink, cloud, session, intake):
        self._config = config
        self._ports = ports
        self._uplink = uplink
        self._cloud = cloud
        self._session = session
        self._intake = intake
        self.headers = {}
        self.close_code = 0
        self.close_reason = ""
        self._client = None
        self._ws = None
        self._is_whole = False  # PyPI's aiohttp, which can do more
        self._tasks = []
        self._over = asyncio.Event()
        self._is_closing = False
        self._reason = None
        self._is_audio_allowed = False
        self._messages = []
        self._utterance = -1  # abort_count of the uplink when the open utterance began to go out
        self._audio = bytearray(_AUDIO_BUFFER_BYTES)

    async def open(self, address, host, port, path, headers, tls):
        """As Link.open; aiohttp looks the host up by itself, so `address` is not used."""
        try:
            import aiohttp
        except ImportError:
            raise ConfigError("websocket", "aiohttp is not installed here: install it, or write pipit")
        place = "[%s]" % host if ":" in host else host
        url = "%s://%s:%d%s" % ("ws" if tls is None else "wss", place, port, path)
        options = {} if tls is None else {"ssl": tls}
        self._is_whole = hasattr(aiohttp, "ClientTimeout")
        if self._is_whole:  # it pings, and ends the connection when no pong comes
            options["heartbeat"] = self._config.ping_ms / 1000
        opening = self._connect(aiohttp, url, headers, options)
        try:
            await asyncio.wait_for(opening, self._config.connect_timeout_ms / 1000)
        except asyncio.TimeoutError:
            await self._finish(None)
            raise LinkError("%s does not answer the WebSocket handshake: try again" % host, errors.TIMEOUT)
        except Exception as error:
            await self._finish(None)
            raise _open_error(error, host, headers)

    async def _connect(self, aiohttp, url, headers, options):
        self._client = aiohttp.ClientSession(headers=headers)
        # Not awaited: micropython-lib's can only be entered.
        self._ws = await self._client.ws_connect(url, **options).__aenter__()

    async def run(self):
        """As Link.run."""
        self._tasks = [asyncio.create_task(self._guard(coro)) for coro in (self._read(), self._write())]
        await self._over.wait()
        if self._reason is not None and not isinstance(self._reason, PipitError):
            raise self._reason
        return self._reason

    def close(self, code=1000):
        """As Link.close."""
        self._is_closing = True
        self._is_audio_allowed = False
        return self._close(code)

    async def _close(self, code):
        if self._ws is not None and not self._over.is_set():
            try:
                closing = self._ws.close(code=code) if self._is_whole else self._ws.close()
                await asyncio.wait_for(closing, self._config.close_timeout_ms / 1000)
            except Exception:
                pass  # gone already, or the peer does not answer: the end is the same
        await self._finish(None)

    async def _finish(self, reason):
        """The connection is over. The first reason counts."""
        if self._over.is_set():
            return
        self._reason = reason
        self._over.set()
        me = asyncio.current_task()
        for task in self._tasks:
            if task is not me:
                task.cancel()
        client, self._client = self._client, None
        if client is not None and hasattr(client, "close"):
            await client.close()

    async def _guard(self, coro):
        try:
            reason = await coro
        except Exception as error:
            reason = error
            if not isinstance(error, PipitError) and _is_of_the_network(error):
                reason = LinkError("the connection failed: %s" % error)
        await self._finish(reason)

    def allow_audio(self, is_allowed):
        self._is_audio_allowed = is_allowed
        self._uplink.ready.set()

    def send(self, message):
        """As Link.send, without a bound on what waits."""
        if self._is_closing or self._over.is_set():
            return False
        self._messages.append(message)
        self._uplink.ready.set()
        return True

    # The tasks; what one of them returns is why the connection is over

    async def _read(self):
        ws = self._ws
        async for message in ws:
            if self._is_closing or not isinstance(message.data, str):
                continue
            buf = bytearray(message.data.encode())
            if self._session.receive(buf, 0, len(buf)):
                await self._intake.take_rest()
        if self._is_closing:
            return None
        self.close_code = code = getattr(ws, "close_code", None) or 0
        if code in (0, 1006):
            return LinkError("the connection broke off without a word from the cloud: check the network")
        if code in _NORMAL_CODES:
            return None
        kind = _CLOSE_KINDS.get(code, errors.CONNECT if code >= 3000 else errors.PROTOCOL)
        return CloudError("the cloud closed the connection with code %d" % code, kind, code)

    async def _write(self):
        while True:
            if not await self._write_next():
                self._uplink.ready.clear()
                await self._uplink.ready.wait()

    async def _write_next(self):
        """False when there is nothing to send."""
        if self._messages:
            await self._send_text(self._messages.pop(0))
            return True
        kind = self._uplink.next() if self._is_audio_allowed else 0
        if kind == AUDIO:
            await self._write_frame()
        elif kind == END:
            self._uplink.pop()
            self._utterance = -1
            await self._send_text(self._cloud.complete(self._ports.ticks_ms()))
            self._session.complete_sent()
        return kind != 0

    async def _write_frame(self):
        uplink = self._uplink
        # A mask key of zeros stands before it, so the text stays readable: aiohttp does its own masking.
        end = self._cloud.encode_audio_into(self._audio, 4, uplink.frame)
        text = bytes(memoryview(self._audio)[4:end])
        uplink.pop()
        is_first = self._utterance != uplink.abort_count
        self._utterance = uplink.abort_count
        await self._send_text(text)
        if is_first:
            self._session.first_frame_sent()

    async def _send_text(self, data):
        await self._ws.send_str(data.decode())


def _open_error(error, host, headers):
    if isinstance(error, PipitError):
        return error
    status = _status_of(error)
    if status:
        got = {name.lower(): value for name, value in (getattr(error, "headers", None) or {}).items()}
        secrets = [part for name in headers for part in headers[name].split() if len(part) >= 8]
        return Refused(WSRefused(status, getattr(error, "message", ""), "", got), secrets)
    if not _is_of_the_network(error):
        return error
    kind = errors.TLS if "ertificate" in str(error) or "SSL" in str(error) else errors.CONNECT
    return LinkError("no connection to %s: %s" % (host, error), kind)


def _status_of(error):
    """The HTTP status in a refused handshake, 0 for another error."""
    if isinstance(error, AssertionError) and error.args:  # micropython-lib asserts the status line
        words = bytes(error.args[0]).split() if isinstance(error.args[0], (bytes, bytearray)) else ()
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    return getattr(error, "status", None) or 0


def _is_of_the_network(error):
    """aiohttp has its own classes, which differ between the two; none of them is a mistake in this program."""
    return isinstance(error, (OSError, AssertionError)) or getattr(type(error), "__module__", "").startswith("aiohttp")
