"""The real Stream and Link over real sockets: one process per interpreter, driven by tests/test_tls_*.py.

    python3|micropython tests/link_child.py MODE SETTINGS.json

SETTINGS: port, host, roots (folder, "" for no TLS), and what the mode needs. Prints one JSON line.

    frames    send `frames` numbered frames of `frame_bytes` through a small socket buffer while messages come down
    heap      the same in the rhythm of speech; counts the heap bytes of one frame up and one message down
    errors    try each of `cases` ({port, host, roots, timeout_ms}); report kind, errno and text
"""

import asyncio
import json
import sys


def folder_of(path):
    folder, slash, _ = path.replace("\\", "/").rpartition("/")
    return folder if slash else "."


ROOT = folder_of(__file__) + "/.."
sys.path[:0] = [ROOT + "/tests/portable", ROOT, ROOT + "/lib"]

import kernels
from check import HeapMeter
from firmware import compat, ports, trace
from firmware.errors import PipitError
from firmware.net import link, stream

SEND_BUFFER_BYTES = 4608  # the smallest that Linux grants
_DIGITS = 6


class Settings:
    connect_timeout_ms = 10000
    idle_timeout_ms = 20000
    close_timeout_ms = 5000
    ping_ms = 17000
    rx_buffer_bytes = 16384
    message_max_bytes = 65536


class NumberedUplink:
    """Has the next frame always ready, or when tick() was called."""

    def __init__(self, n_frames, frame_bytes, is_eager):
        self.ready = asyncio.Event()
        self.abort_count = 0
        self.frame = self
        self.n = frame_bytes
        self._left = n_frames + 1
        self._ready_frames = self._left if is_eager else 0

    def tick(self):
        self._ready_frames += 1
        self.ready.set()

    def next(self):
        if not self._left or not self._ready_frames:
            return 0
        return 1 if self._left > 1 else 2

    def pop(self):
        self._left -= 1
        self._ready_frames -= 1


class NumberingCloud:
    """A message is its number in six digits and a stretch of a pattern that begins at that number."""

    def __init__(self):
        self.count = 0
        self._pattern = bytes([33 + i * 7 % 89 for i in range(89)]) * 40

    def encode_audio_into(self, dst, at, frame):
        n = frame.n
        number = self.count
        self.count += 1
        for i in range(_DIGITS - 1, -1, -1):
            dst[at + i] = 48 + number % 10
            number //= 10
        kernels.copy_into(self._pattern, (self.count - 1) % 89, n, dst, at + _DIGITS)
        kernels.xor_mask(dst, at, _DIGITS + n)
        return at + _DIGITS + n

    def complete(self, now_ms):
        return b"complete"


class CountingSession:
    def __init__(self):
        self.count = 0
        self.wrong = 0
        self.completed = asyncio.Event()

    def receive(self, buf, start, n):
        number = 0
        for i in range(start, start + _DIGITS):
            number = number * 10 + buf[i] - 48
        if number != self.count or buf[start + n - 1] != 33 + (number + n) % 89:
            self.wrong += 1
        self.count += 1
        return False

    async def take_rest(self):
        pass

    def first_frame_sent(self):
        pass

    def complete_sent(self):
        self.completed.set()


def shrink_send_buffer():
    import socket

    open_tcp = compat.open_tcp

    def open_small(address):
        io = open_tcp(address)
        getattr(io, "sock", io).setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_SNDBUF", 7), SEND_BUFFER_BYTES)
        return io

    compat.open_tcp = open_small


class CountingStream:
    """Counts how often a write found no room; the socket itself is used unchanged."""

    def __init__(self, inner):
        self.inner = inner
        self.readable = inner.readable
        self.writable = inner.writable
        self.readinto = inner.readinto
        self.close = inner.close
        self.nones = 0
        self.shorts = 0

    def write(self, buf, at, n):
        taken = self.inner.write(buf, at, n)
        if taken is None:
            self.nones += 1
        elif taken < n:
            self.shorts += 1
        return taken


async def connect_link(settings, uplink, cloud, session, is_counted):
    world = ports.real()
    streams = []

    async def connect(address, host, tls, timeout_ms):
        made = await stream.connect(address, host, tls, timeout_ms)
        streams.append(CountingStream(made) if is_counted else made)
        return streams[-1]

    world.connect = connect
    one = link.Link(Settings, world, trace.Trace(world.ticks_ms), uplink, cloud, session, session)
    tls = stream.tls_context(settings["roots"]) if settings["roots"] else None
    address = stream.resolve("127.0.0.1", settings["port"])
    await one.open(address, settings["host"], settings["port"], "/", {"Authorization": "Bearer secret-token"}, tls)
    one.allow_audio(True)
    return one, streams[0]


async def send_frames(settings):
    shrink_send_buffer()
    session = CountingSession()
    uplink = NumberedUplink(settings["frames"], settings["frame_bytes"], True)
    one, counted = await connect_link(settings, uplink, NumberingCloud(), session, True)
    running = asyncio.create_task(one.run())
    await session.completed.wait()
    while session.count < settings["messages"] and not one._is_over:
        await compat.sleep_ms(5)
    await one.close()
    reason = await running
    return {
        "nones": counted.nones, "shorts": counted.shorts, "heard": session.count, "wrong": session.wrong,
        "reason": str(reason), "close_code": one.close_code,
    }  # fmt: skip


async def measure_heap(settings):
    session = CountingSession()
    uplink = NumberedUplink(1 << 20, settings["frame_bytes"], False)
    one, _ = await connect_link(settings, uplink, NumberingCloud(), session, False)
    running = asyncio.create_task(one.run())
    meter = HeapMeter()
    rounds = []
    n_frames = settings["frames"]
    for is_idle in (False, False, True, False):
        before = session.count
        meter.start()
        for _ in range(n_frames):
            if not is_idle:
                uplink.tick()
            await compat.sleep_ms(4)
        rounds.append((meter.stop() / n_frames, session.count - before))
    await one.close()
    await running
    return {"rounds": rounds, "wrong": session.wrong, "kernels": kernels.IMPLEMENTATION}


async def try_cases(settings):
    results = []
    for case in settings["cases"]:
        try:
            tls = stream.tls_context(case["roots"], case.get("verify", True)) if case["roots"] else None
            address = stream.resolve(case.get("address", "127.0.0.1"), case["port"])
            made = await stream.connect(address, case["host"], tls, case.get("timeout_ms", 10000))
            result = ["ok", 0, await echo(made, case["echo"]) if case.get("echo") else ""]
            made.close()
            made.close()
        except PipitError as error:
            result = [error.kind, getattr(error, "errno", 0), str(error)]
        results.append(result)
    return results


async def echo(made, last):
    """Send "hello", return all that comes until its last word, or until the end of the stream."""
    hello = b"..hello.."
    assert made.write(hello, 2, 5) == 5
    got = b""
    buf = bytearray(7)
    mv = memoryview(buf)
    while True:
        n = made.readinto(mv)
        if n is None:
            await made.readable
        elif n:
            got += bytes(mv[:n])
        if n == 0 or got.decode().endswith(last):
            return got.decode()


def main(mode, path):
    with open(path) as file:
        settings = json.load(file)
    run = {"frames": send_frames, "heap": measure_heap, "errors": try_cases}[mode]
    print(json.dumps(asyncio.run(run(settings))))


main(sys.argv[1], sys.argv[2])
