"""A WebSocket server in memory, written from the RFC and not with our code, and the parts a Link works for."""

import asyncio
import binascii
import hashlib

from check import ports
from fake_audio import Place
from firmware import trace
from firmware.errors import LinkError
from kernels import xor_mask

PLENTY = 1 << 29


# Frames


def frame(opcode, payload=b"", fin=True, first=0, length_bytes=None, mask=False):
    """A frame as a server writes it, or as it must not."""
    n = len(payload)
    out = bytearray([(0x80 if fin else 0) | opcode | first])
    if length_bytes is None:
        length_bytes = 1 if n < 126 else (2 if n < 65536 else 8)
    bit = 0x80 if mask else 0
    if length_bytes == 1:
        out.append(n | bit)
    else:
        out.append((126 if length_bytes == 2 else 127) | bit)
        for i in range(length_bytes):
            out.append(n >> (8 * (length_bytes - 1 - i)) & 0xFF)
    return bytes(out) + (b"\0\0\0\0" if mask else b"") + payload


def unmask(data):
    """(opcode, payload, rest) of the first client frame in data; None when it is not whole."""
    if len(data) < 6:
        return None
    assert data[0] & 0x70 == 0 and data[0] & 0x80, "final, no reserved bits"
    assert data[1] & 0x80, "masked"
    n = data[1] & 0x7F
    at = 2
    if n == 126:
        n = data[2] * 256 + data[3]
        assert n > 125
        at = 4
    elif n == 127:
        n = 0
        for i in range(2, 10):
            n = n * 256 + data[i]
        assert n > 65535
        at = 10
    key = data[at : at + 4]
    at += 4
    if len(data) < at + n:
        return None
    payload = bytearray(n)
    for i in range(n):
        payload[i] = data[at + i] ^ key[i % 4]
    return data[0] & 0x0F, bytes(payload), data[at + n :]


def good_answer(request):
    """The 101 to this request."""
    for line in request.decode().split("\r\n"):
        if line.startswith("Sec-WebSocket-Key: "):
            digest = hashlib.sha1(line[19:].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            accept = binascii.b2a_base64(digest).strip()
            return (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"X-Request-Id: r-17\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
    raise AssertionError("no Sec-WebSocket-Key in the request")


# The connection


class FakeStream:
    """A Stream (firmware/net/stream.py) whose other end is the test. Checks that writes follow the rule of TLS.

    room_bytes   how much it takes before it answers None; give_room() adds some
    piece_bytes  the most that one write takes
    """

    def __init__(self, answer=good_answer):
        self.sent = bytearray()  # all that was written
        self.request = b""  # of it, the HTTP request
        self.room_bytes = PLENTY
        self.piece_bytes = PLENTY
        self.nones = 0
        self.is_closed = False
        self.error = None  # raised by the next read or write
        self._answer = answer
        self._unfinished = None
        self._incoming = bytearray()
        self._is_ended = False
        self._news = asyncio.Event()
        self._wants_room = asyncio.Event()

    # our side

    def readinto(self, mv):
        if self.is_closed:
            return 0
        self._raise()
        n = min(len(mv), len(self._incoming))
        if not n:
            return 0 if self._is_ended else None
        mv[:n] = self._incoming[:n]
        self._incoming = self._incoming[n:]
        return n

    def write(self, buf, at, n):
        if self.is_closed:
            raise LinkError("the connection is closed")
        assert n > 0
        self._raise()
        offer = bytes(memoryview(buf)[at : at + n])
        if self._unfinished is not None:
            assert offer == self._unfinished, "after a short count or None the rest must be offered, nothing else"
        take = min(n, self.piece_bytes, self.room_bytes)
        self._unfinished = offer[take:] or None
        if not take:
            self.nones += 1
            return None
        self.room_bytes -= take
        self.sent += offer[:take]
        self._look_for_request()
        return take

    @property
    def readable(self):
        return self._wait_readable()

    async def _wait_readable(self):
        while not (self.has_incoming() or self._is_ended or self.is_closed or self.error):
            self._news.clear()
            await self._news.wait()

    @property
    def writable(self):
        return self._wait_writable()

    async def _wait_writable(self):
        while not (self.room_bytes or self.is_closed or self.error):
            self._wants_room.clear()
            await self._wants_room.wait()

    def close(self):
        self.is_closed = True
        self._news.set()
        self._wants_room.set()

    def has_incoming(self):
        return len(self._incoming) > 0

    def _raise(self):
        if self.error is not None:
            raise self.error

    def _look_for_request(self):
        if not self.request and b"\r\n\r\n" in self.sent:
            self.request = bytes(self.sent)
            self.sent = bytearray()
            if self._answer is not None:
                self.feed(self._answer(self.request))

    # the test's side

    def feed(self, data):
        self._incoming += data
        self._news.set()

    def end(self):
        self._is_ended = True
        self._news.set()

    def fail(self, error):
        self.error = error
        self._news.set()
        self._wants_room.set()

    def give_room(self, n):
        self.room_bytes += n
        self._wants_room.set()

    def frames(self):
        """[(opcode, payload)] of the whole frames written so far."""
        found = []
        rest = memoryview(self.sent)
        while True:
            one = unmask(rest)
            if one is None:
                return found
            found.append(one[:2])
            rest = one[2]

    def texts(self):
        return [payload for opcode, payload in self.frames() if opcode == 1]


# What a Link works for


class FakeUplink:
    def __init__(self):
        self.ready = asyncio.Event()
        self.frame = None  # buf, at, n
        self.abort_count = 0
        self.waiting = []

    def push(self, *frames):
        """bytes are a frame, None ends the utterance"""
        self.waiting += frames
        self.ready.set()

    def abort(self):
        self.waiting = []
        self.abort_count += 1
        self.ready.clear()

    def next(self):
        if not self.waiting:
            self.ready.clear()
            return 0
        if self.waiting[0] is None:
            return 2
        self.frame = Place(self.waiting[0], 5)
        self.frame.buf += b"\xaa\xaa"
        return 1

    def pop(self):
        self.waiting.pop(0)


class FakeCloud:
    def encode_audio_into(self, dst, at, frame):
        end = at + 2 + frame.n
        dst[at : at + 2] = b"A:"
        dst[at + 2 : end] = frame.buf[frame.at : frame.at + frame.n]
        xor_mask(dst, at, end - at)
        return end

    def complete(self, now_ms):
        return b"complete"


class FakeSession:
    """Notes what it is told; also plays the intake. pause_ms: how long reading pauses after each message."""

    def __init__(self, the_ports):
        self._ports = the_ports
        self.heard = []
        self.log = []  # (what, ms)
        self.pause_ms = 0
        self.on_message = None

    def receive(self, buf, start, n):
        self.heard.append(bytes(buf[start : start + n]))
        if self.on_message is not None:
            self.on_message(self.heard[-1])
        return self.pause_ms > 0

    async def take_rest(self):
        await self._ports.sleep_ms(self.pause_ms)

    def first_frame_sent(self):
        self.log.append(("first_frame", self._ports.ticks_ms()))

    def complete_sent(self):
        self.log.append(("complete", self._ports.ticks_ms()))


class Settings:
    connect_timeout_ms = 15000
    idle_timeout_ms = 45000
    close_timeout_ms = 2000
    ping_ms = 17000
    rx_buffer_bytes = 2048
    message_max_bytes = 8192


class Setup:
    """A Link between a FakeStream and its fakes, on the stepped clock."""

    def __init__(self, stream=None, connect=None):
        from firmware.net.link import Link

        self.stream = stream or FakeStream()
        self.ports = ports(connect=connect or self._connect)
        self.uplink = FakeUplink()
        self.session = FakeSession(self.ports)
        self.trace = trace.Trace(self.ports.ticks_ms)
        self.link = Link(Settings, self.ports, self.trace, self.uplink, FakeCloud(), self.session, self.session)
        self.result = None  # (what run() returned, ms)
        self.asked = None

    async def _connect(self, address, host, tls, timeout_ms):
        self.asked = (address, host, tls, timeout_ms)
        return self.stream

    async def open(self, headers=None, path="/chat?bot_id=7"):
        await self.link.open(("the", "address"), "example.org", 443, path, headers or {}, "a context")

    async def start(self, allow_audio=True):
        """An open, running connection."""
        await self.open()
        self.link.allow_audio(allow_audio)
        self.task = asyncio.create_task(self._run())
        await self.settle()

    async def _run(self):
        self.result = (await self.link.run(), self.ports.ticks_ms())

    async def settle(self):
        """Let everybody run who can, without time passing."""
        for _ in range(30):
            await self.ports.sleep_ms(0)

    async def until_over(self):
        await self.task
        return self.result[0]

    @property
    def trace_codes(self):
        return [code for _, code, _ in self.trace.entries()]
