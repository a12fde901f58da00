"""Writing to TLS: 3 000 numbered frames through a small send buffer to a slow peer that sends at the same time.

TLS on MicroPython loses whole frames, without any error, when a write behind an unfinished one is not exactly its rest,
or when two tasks write. So this goes through the real Link and the real sockets, on both interpreters and both versions
of TLS, and every frame is looked at.
"""

import asyncio
import contextlib
import ssl
import time

import pytest
from wire import HOST, INTERPRETERS, Authority, accept_upgrade, listening_socket, read_frame, run_child, server_frame

FRAMES = 3000
FRAME_BYTES = 950  # one 20 ms frame of 16 kHz PCM in base64 and JSON
MESSAGES = 400
MESSAGE_BYTES = 3500  # one answer delta of 60 ms
BREATH_BYTES = 20_000  # the peer rests for BREATH_S after each of these: slower than the slowest interpreter
BREATH_S = 0.015
HEAP_FRAMES = 150
# The 32-bit desktop has its heap above 2**30, where asyncio's id(socket) is a big integer for each wait; no ESP32 has.
HEAP_LIMIT_BYTES = {"micropython64": 16, "micropython32": 80}

VERSIONS = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}
PATTERN = bytes(33 + i * 7 % 89 for i in range(89)) * 60


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "roots")


def numbered(i, n):
    return b"%06d" % i + PATTERN[i % 89 : i % 89 + n]


def numbered_down(i, n):
    """Its last letter tells number and length: that is all a child has time to look at."""
    return b"%06d" % i + bytes(n - 7) + bytes([33 + (i + n) % 89])


class SlowPeer:
    """Takes frames with rests, sends messages at the same time. What it saw is in `frames` and `others`."""

    def __init__(self, n_messages, is_echo=False):
        self._n_messages = n_messages
        self._is_echo = is_echo
        self.frames = []
        self.others = []
        self.fault = None

    async def serve(self, reader, writer):
        try:
            await accept_upgrade(reader, writer)
            sender = asyncio.create_task(self._send(writer))
            await self._take(reader, writer)
            await sender
        except Exception as error:
            self.fault = error
        finally:
            writer.close()

    async def _send(self, writer):
        for i in range(self._n_messages):
            writer.write(server_frame(1, numbered_down(i, MESSAGE_BYTES)))
            if i % 50 == 0:
                writer.write(server_frame(9, b"ping %d" % i))
            await writer.drain()

    async def _take(self, reader, writer):
        n_bytes = 0
        while True:
            opcode, payload = await read_frame(reader)
            if opcode == 1 and payload != b"complete":
                self.frames.append(payload)
                if self._is_echo:
                    writer.write(server_frame(1, numbered_down(len(self.frames) - 1, 400)))
            else:
                self.others.append((opcode, payload))
            if opcode == 8:
                writer.write(server_frame(8, payload))
                await writer.drain()
                return
            n_bytes += len(payload)
            if n_bytes >= BREATH_BYTES and not self._is_echo:
                n_bytes = 0
                await asyncio.sleep(BREATH_S)


@contextlib.asynccontextmanager
async def serving(peer, context):
    sock = listening_socket(receive_buffer_bytes=8192)
    server = await asyncio.start_server(peer.serve, sock=sock, ssl=context, limit=4096)
    try:
        yield sock.getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", INTERPRETERS)
async def test_no_frame_is_lost(authority, name, version, show_figure):
    peer = SlowPeer(MESSAGES)
    began_s = time.monotonic()
    async with serving(peer, authority.context(VERSIONS[version])) as port:
        result = await run_child(
            name,
            "frames",
            {
                "port": port, "host": HOST, "roots": str(authority.folder),
                "frames": FRAMES, "frame_bytes": FRAME_BYTES, "messages": MESSAGES,
            },
        )  # fmt: skip
    assert peer.fault is None, repr(peer.fault)
    lost = sorted(set(range(FRAMES)) - {int(payload[:6]) for payload in peer.frames})
    assert not lost, "%d frames are missing: %r" % (len(lost), lost[:20])
    assert len(peer.frames) == FRAMES
    for i, payload in enumerate(peer.frames):
        assert payload == numbered(i, FRAME_BYTES), "frame %d is wrong or in the wrong place" % i
    assert [payload for opcode, payload in peer.others if opcode == 1] == [b"complete"]
    pongs = [payload for opcode, payload in peer.others if opcode == 10]
    assert pongs and pongs[-1] == b"ping %d" % (MESSAGES - 50)
    assert peer.others[-1] == (8, b"\x03\xe8")
    assert (result["heard"], result["wrong"], result["reason"]) == (MESSAGES, 0, "None"), result
    assert result["nones"] >= 5, "the send buffer was never full: this run proves nothing"
    show_figure(
        "TLS writes, %s, %s: %d frames, %d messages down, %d writes found no room, %d were short, %.1f s"
        % (name, version, FRAMES, MESSAGES, result["nones"], result["shorts"], time.monotonic() - began_s)
    )


@pytest.mark.parametrize("name", INTERPRETERS[1:])
async def test_a_frame_pair_costs_next_to_no_heap(authority, name, show_figure):
    peer = SlowPeer(0, is_echo=True)
    async with serving(peer, authority.context()) as port:
        result = await run_child(
            name,
            "heap",
            {"port": port, "host": HOST, "roots": str(authority.folder), "frames": HEAP_FRAMES, "frame_bytes": 640},
        )
    assert peer.fault is None and result["wrong"] == 0
    idle_bytes = result["rounds"][2][0]
    n_bytes, n_heard = result["rounds"][3]
    assert n_heard > HEAP_FRAMES * 9 // 10, result
    show_figure(
        "heap of one frame up and one message down over TLS, %s: %.1f bytes (idle %.1f)" % (name, n_bytes, idle_bytes)
    )
    assert n_bytes <= HEAP_LIMIT_BYTES[name], result
