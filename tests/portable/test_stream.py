"""The socket itself, on loopback within one process: waiting, waking, cancelling. (TLS: tests/test_tls_*.py.)"""

import asyncio
import socket
import sys

from check import HeapMeter, raises
from firmware import compat
from firmware.errors import ConfigError, LinkError
from firmware.net import stream

PORTS = range(20311, 20399)  # MicroPython cannot ask a socket for its port, so the first free one of these is taken


class Pair:
    """A Stream and the other end of its connection."""

    async def open(self):
        listener, port = listen()
        self.stream = await stream.connect(stream.resolve("127.0.0.1", port), "the.peer", None, 5000)
        self.peer = listener.accept()[0]
        listener.close()
        self.buf = bytearray(1000)
        return self

    def send(self, data):
        self.peer.send(data)

    async def read(self):
        """What comes next; b"" at the end."""
        while True:
            n = self.stream.readinto(memoryview(self.buf))
            if n is not None:
                return bytes(self.buf[:n])
            await self.stream.readable

    def fill(self):
        """Write until nothing is taken any more; returns how much was."""
        block = bytes(10000)
        taken = 0
        while True:
            n = self.stream.write(block, 0, len(block))
            if n is None:
                return taken
            taken += n

    def drain(self, n):
        while n > 0:
            n -= len(self.peer.recv(min(n, 65536)))

    def close(self):
        self.stream.close()
        self.peer.close()


def listen():
    for port in PORTS:
        sock = socket.socket()
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
            sock.listen(1)
            return sock, port
        except OSError:
            sock.close()
    raise AssertionError("no free port for a test")


def with_pair(test):
    async def main():
        pair = await Pair().open()
        try:
            await test(pair)
        finally:
            pair.close()

    asyncio.run(main())


def test_bytes_come_and_end():
    async def test(pair):
        assert pair.stream.readinto(memoryview(pair.buf)) is None
        for i in range(5):
            pair.send(b"piece %d" % i)
            assert await pair.read() == b"piece %d" % i
        pair.peer.close()
        assert await pair.read() == b""
        assert await pair.read() == b""

    with_pair(test)


def test_a_reader_wakes_when_something_comes():
    async def test(pair):
        for i in range(3):
            reader = asyncio.create_task(pair.read())
            await compat.sleep_ms(2)
            assert not reader.done()
            pair.send(b"%d" % i)
            assert await reader == b"%d" % i

    with_pair(test)


def test_write_takes_a_span():
    async def test(pair):
        assert pair.stream.write(bytearray(b"..hello.."), 2, 5) == 5
        assert pair.peer.recv(100) == b"hello"

    with_pair(test)


def test_a_writer_wakes_when_there_is_room():
    async def test(pair):
        taken = pair.fill()
        order = []

        async def wait():
            await pair.stream.writable
            order.append("room")

        writer = asyncio.create_task(wait())
        await compat.sleep_ms(2)
        order.append("drain")
        pair.drain(taken)
        await writer
        assert order == ["drain", "room"]

    with_pair(test)


def test_reader_and_writer_wait_at_once_and_one_may_be_cancelled():
    async def test(pair):
        taken = pair.fill()
        for cancelled in ("reader", "writer"):
            tasks = {
                "reader": asyncio.create_task(pair.read()),
                "writer": asyncio.create_task(wait(pair.stream.writable)),
            }
            await compat.sleep_ms(2)
            tasks[cancelled].cancel()
            await compat.sleep_ms(2)
            if cancelled == "reader":
                pair.drain(taken)
                await tasks["writer"]
                taken = pair.fill()
            else:
                pair.send(b"still here")
                assert await tasks["reader"] == b"still here"
        pair.send(b"and again")
        assert await pair.read() == b"and again"

    async def wait(awaitable):
        await awaitable

    with_pair(test)


def test_close_wakes_everybody_and_may_be_called_twice():
    async def test(pair):
        pair.fill()
        reader = asyncio.create_task(pair.read())
        writer = asyncio.create_task(wait(pair.stream.writable))
        await compat.sleep_ms(2)
        pair.stream.close()
        pair.stream.close()
        assert await reader == b""
        await writer
        assert pair.stream.readinto(memoryview(pair.buf)) == 0
        with raises(LinkError, "the.peer is closed"):
            pair.stream.write(b"x", 0, 1)

    async def wait(awaitable):
        await awaitable

    with_pair(test)


def test_waiting_for_the_socket_costs_no_heap():
    async def test(pair):
        meter = HeapMeter()
        mv = memoryview(pair.buf)
        byte = b"x"
        is_warm = False
        while True:
            meter.start()
            for _ in range(50):
                while pair.stream.readinto(mv) is not None:
                    pass
                pair.peer.send(byte)
                await pair.stream.readable
            n_bytes = meter.stop()
            if is_warm:
                break
            is_warm = True
        # The 32-bit desktop has its heap above 2**30, where asyncio's id(socket) is a big integer; no ESP32 has.
        limit = 0 if sys.maxsize > 1 << 32 else 64
        assert n_bytes / 50 <= limit, n_bytes / 50

    with_pair(test)


def test_an_event_can_be_awaited_again_and_again_by_one_awaitable():
    async def main():
        event = asyncio.Event()
        bell = compat.wait_event(event)
        heard = []

        async def listener():
            for i in range(3):
                await bell
                event.clear()
                heard.append(i)

        task = asyncio.create_task(listener())
        for i in range(3):
            await compat.sleep_ms(1)
            assert len(heard) == i
            event.set()
        await task
        event.set()
        await bell  # set already: at once

    asyncio.run(main())


def test_urls():
    for url, expected in (
        ("wss://ws.coze.cn/v1/chat", (True, "ws.coze.cn", 443, "/v1/chat")),
        ("wss://ws.coze.cn/v1/chat?bot_id=1&x=a/b", (True, "ws.coze.cn", 443, "/v1/chat?bot_id=1&x=a/b")),
        ("ws://127.0.0.1:8765", (False, "127.0.0.1", 8765, "/")),
        ("ws://host?x=1", (False, "host", 80, "/?x=1")),
        ("ws://host/a#b", (False, "host", 80, "/a")),
        ("wss://[::1]:8443/a:b", (True, "::1", 8443, "/a:b")),
        ("wss://[::1]", (True, "::1", 443, "/")),
    ):
        assert stream.split_url(url) == expected, url
    for url in ("", "ws.coze.cn", "https://x", "wss:/x", "wss://", "wss:///x", "ws://h:x", "ws://h:0", "ws://h:99999",
                "ws://user@h/"):  # fmt: skip
        with raises(ConfigError, "cloud_url"):
            stream.split_url(url)


def test_an_unknown_host():
    with raises(LinkError, "no address for no such host") as caught:
        stream.resolve("no such host", 443)
    assert caught.error.kind == "dns"


def test_an_esp32_socket_that_was_refused_is_known_before_anything_is_written():
    """It shows POLLHUP only to who asks for it, and lwIP calls a refusal a reset (ports/esp32/modsocket.c)."""
    if not compat.IS_MICROPYTHON:
        return
    import errno
    import io

    class Socket(io.IOBase):
        failure = 0

        def ioctl(self, request, flags):
            hup = 0x10 if self.failure else 0
            return flags & (0x04 | hup) if request == 3 else -1

        def readinto(self, buf):
            raise OSError(self.failure)

    sock = Socket()
    compat.check_connected(sock)
    for failure, told in ((errno.ECONNRESET, errno.ECONNREFUSED), (errno.ECONNABORTED, errno.ECONNABORTED)):
        sock.failure = failure
        caught = raises(OSError)
        with caught:
            compat.check_connected(sock)
        assert caught.error.errno == told, (failure, caught.error)


def test_a_chip_without_free_sockets_says_so():
    from firmware.net import stream_errors

    for number in (23, 105):  # ENFILE, ENOBUFS: of lwIP as of Linux
        error = stream_errors.link_error(OSError(number, ""), "the.peer")
        assert error.kind == "connect" and error.errno == number and "connection" in error.text, error.text
        assert "failed" not in error.text, error.text
