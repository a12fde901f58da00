"""The socket: a TCP connection, with TLS or without, that never blocks and whose errors say cause and cure.

    stream = await connect(resolve(host, port), host, tls_context("tls_roots", True), 15000)
    n = stream.write(buf, at, n)        n or None
    n = stream.readinto(mv)             n, 0 or None
    await stream.writable               after None or a short count

Whoever stands in for a Stream (a test, a simulation) keeps this contract:

    readinto(mv)      -> bytes put into mv; 0: the stream is at its end, or closed by us; None: nothing is here now.
                         MicroPython does not tell of a TLS close alert right behind the last bytes (its readinto
                         reads on and swallows it): there the end is that of TCP, which may come later or, from a
                         peer that waits for us, not at all. So no protocol may rely on the end alone.
    write(buf, at, n) -> bytes taken from buf[at:at+n]; None: none. After None or a short count the next call must
                         offer exactly the rest: the same bytes, the same end. TLS has already sealed a part of them
                         into a record that is not out yet; another offer makes whole frames vanish without any
                         error. So one task alone may write.
    readable, writable   awaitables that may be awaited again and again, each by one task at a time. They may return too
                         early, so ask readinto or write and look for None. Wait only after a None or a short count.
    close()           may be called twice; wakes whoever waits.
    All raise LinkError, whose text never holds what was sent.
"""

import asyncio
import errno
import os

from unload import unload

from .. import compat, errors
from ..errors import ConfigError, LinkError


def resolve(host, port):
    """The address of host for connect(). Blocks the loop on MicroPython, for seconds when the network is bad."""
    try:
        return compat.resolve_host(host, port)
    except (OSError, ValueError, IndexError) as error:  # ValueError: CPython, a name that no DNS could hold
        number = error.errno if isinstance(error, OSError) else 0
        raise LinkError(
            "no address for %s: check the host name in cloud_url and the DNS of the network" % host,
            errors.DNS,
            number if isinstance(number, int) else 0,
        )


def tls_context(roots_folder, verify=True):
    """An SSLContext for connect(). Trusts every *.der file in roots_folder and nothing else; ConfigError when none.

    verify False checks neither certificate nor host name: the caller must say so aloud.
    """
    if not verify:
        return compat.tls_context(None)
    try:
        names = sorted(name for name in os.listdir(roots_folder) if name.endswith(".der"))
    except OSError:
        names = ()
    if not names:
        raise ConfigError("tls_roots", "the folder %s holds no *.der file: put the cloud's root there" % roots_folder)
    roots = []
    for name in names:
        with open(roots_folder + "/" + name, "rb") as file:
            roots.append(file.read())
    try:
        return compat.tls_context(roots)
    except ValueError as error:
        raise ConfigError("tls_roots", "%s is no certificate in DER form" % names[error.args[0]])


def split_url(url):
    """(is_tls, host, port, path with query) of a ws:// or wss:// URL; ConfigError when it is none."""
    scheme, colon, rest = url.partition("://")
    if scheme not in ("ws", "wss") or not colon:
        raise ConfigError("cloud_url", "it must begin with wss:// (or ws://, without TLS), like wss://example.org/chat")
    cut = min([rest.find(mark) for mark in "/?#" if mark in rest] + [len(rest)])
    place = rest[:cut]
    path = rest[cut:].partition("#")[0]
    host, port = place, ""
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        port = port[1:]
    elif ":" in place:
        host, _, port = place.partition(":")
    is_tls = scheme == "wss"
    if not port:
        port = "443" if is_tls else "80"
    if not host or "@" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError("cloud_url", "host or port is wrong, expected something like wss://example.org:443/chat")
    return is_tls, host, int(port), path if path.startswith("/") else "/" + path


async def connect(address, host, tls, timeout_ms):
    """Connect and complete the TLS handshake; returns a Stream.

    address   from resolve()
    host      for SNI and the certificate, and for error texts
    tls       from tls_context(), or None for none
    raises    LinkError: CONNECT, TLS, or TIMEOUT after timeout_ms altogether
    """
    try:
        stream = Stream(compat.open_tcp(address), host)
    except OSError as error:
        raise _link_error(error, host)
    watchdog = asyncio.create_task(_close_after(stream, timeout_ms))
    try:
        await stream._establish(tls)
    except BaseException as error:
        stream.close()
        if isinstance(error, (OSError, ValueError)):
            raise _link_error(error, host)
        raise
    finally:
        watchdog.cancel()
    return stream


async def _close_after(stream, ms):
    await compat.sleep_ms(ms)
    stream.is_late = True
    stream.close()


class Stream:
    def __init__(self, io, host):
        self._host = host
        self._use(io)
        self.is_closed = False
        self.is_late = False  # closed by the watchdog of connect()

    def _use(self, io):
        self._io = io
        self.readable = compat.readable(io)
        self.writable = compat.writable(io)

    async def _establish(self, tls):
        await self.writable
        self._check_late("does not answer: check cloud_url and the router's way to the internet")
        compat.check_connected(self._io)
        if tls is not None:
            self._use(compat.wrap_tls(self._io, tls, self._host))
            while not compat.tls_handshake(self._io):
                await self.readable
                self._check_late("took the connection but does not complete the TLS handshake: try again")
        compat.keep_io(self._io)

    def _check_late(self, text):
        if self.is_late:
            raise LinkError(self._host + " " + text, errors.TIMEOUT, errno.ETIMEDOUT)

    def readinto(self, mv):
        if self.is_closed:
            return 0
        try:
            return self._io.readinto(mv)
        except (OSError, ValueError) as error:
            raise _link_error(error, self._host)

    def write(self, buf, at, n):
        if self.is_closed:
            raise LinkError("the connection to %s is closed" % self._host)
        try:
            return self._io.write(buf, at, n)
        except (OSError, ValueError) as error:
            raise _link_error(error, self._host)

    def close(self):
        if not self.is_closed:
            self.is_closed = True
            compat.close_io(self._io)


def _link_error(error, host):
    """Its tables are seldom needed."""
    try:
        from . import stream_errors

        return stream_errors.link_error(error, host)
    finally:
        unload(__name__.rpartition(".")[0], ("stream_errors",))
