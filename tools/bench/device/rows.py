"""What each piece of the way costs per 20 ms, ours and the baseline's, without sockets.

    micropython rows.py ROOT [LIB]        python3 rows.py ROOT

Child process of tools.bench.cli. LIB: a folder that holds micropython-lib's aiohttp, which is then measured too.
One JSON line a row: {"name", "ours_us", "base_us", "ours_heap", "base_heap"}; heap bytes are -1 on CPython. The
work is done in the modules of the firmware, on sound that is neither silence nor noise.
"""

import binascii
import gc
import json
import sys
import time
from array import array

IS_MICROPYTHON = sys.implementation.name == "micropython"
FRAME_MS = 20
DELTA_MS = 60
_SPEAKER_DMA_MS = 96  # as in boards/
_LEAST_US = 60_000
_ROUNDS = 3
_HEAP_CALLS = 24
CHAT_ID = "7500000000000000001"


def main(root, lib=""):
    sys.path[:] = [root, root + "/lib", root + "/tools/bench/device"] + sys.path[1:] + ([lib] if lib else [])
    import kernels

    print(json.dumps({"kernels": kernels.IMPLEMENTATION}))
    for name, share, ours, base in all_rows(bool(lib)):
        print(json.dumps({
            "name": name,
            "ours_us": microseconds(ours) / share,
            "base_us": microseconds(base) / share,
            "ours_heap": heap_bytes(ours) / share if IS_MICROPYTHON else -1,
            "base_heap": heap_bytes(base) / share if IS_MICROPYTHON else -1,
        }))  # fmt: skip


def all_rows(has_lib):
    """(name, how many 20 ms one call is worth, ours(), baseline()) of each row."""
    import straight

    mic = mic_frame()
    samples = array("h", mic)
    state = Gain(mic)
    yield "mic gain and level", 1, state.step, lambda: straight.peak(straight.scaled(samples, 1024))
    up = Up("pcm", mic)
    yield "uplink PCM 16 kHz", 1, up.step, lambda: straight.client_frame(straight.uplink_message(mic))
    if has_lib:
        from aiohttp.aiohttp_ws import WebSocketClient

        def base_lib():
            return WebSocketClient._encode_websocket_frame(1, straight.uplink_message(mic).decode())

        yield "uplink PCM, aiohttp", 1, up.step, base_lib
    up = Up("g711a", mic)

    def base_g711():
        coded = straight.alaw_encoded(straight.halved(array("h", mic)))
        return straight.client_frame(straight.uplink_message(coded))

    yield "uplink G.711", 1, up.step, base_g711
    share = DELTA_MS // FRAME_MS
    for name, codec, hz in (("downlink PCM 24 kHz", "pcm", 24000), ("downlink G.711", "g711a", 8000)):
        down = Down(codec, hz)
        received = BaseDown(down.payload)
        yield name, share, down.step, received.step
    for name, codec, hz in (("player PCM 24 kHz", "pcm", 24000), ("player G.711", "g711a", 8000)):
        play = Play(codec, hz)
        base_play = BasePlay(codec, play.wire)
        yield name, 1, play.step, base_play.step


def mic_frame():
    """20 ms at 16 kHz, bytes of s16le: a saw tooth."""
    data = bytearray(640)
    for i in range(320):
        value = (i * 397 % 4096 - 2048) & 0xFFFF
        data[2 * i] = value & 0xFF
        data[2 * i + 1] = value >> 8
    return data


class Config:
    """What Coze and Link ask of a configuration here."""

    conversation_id = ""
    user_id = "u"
    token = ""


class Gain:
    def __init__(self, mic):
        from kernels import scale_peak

        self._scale_peak = scale_peak
        self._frame = bytearray(mic)

    def step(self):
        self._scale_peak(self._frame, 0, 320, 256, 8)  # a gain of 1, so that the sound stays; the work is the same


class Up:
    """Microphone frame -> coded -> queue -> base64 in JSON -> masked frame, as recorder and link do it."""

    def __init__(self, name, mic):
        import kernels
        import ws_protocol
        from firmware import trace
        from firmware.audio import codec, uplink
        from firmware.clouds import coze

        self._seal_masked = ws_protocol.seal_masked
        self._copy_into = kernels.copy_into
        self._headroom = ws_protocol.HEADROOM_BYTES
        self._uplink = uplink.Uplink(codec.uplink(name), 200, 0, trace.Trace(ticks_ms))
        self._uplink.start(True)
        self._coze = coze.Coze(Config)
        self._mic = memoryview(mic)
        self._buf = bytearray(2048)
        self._key = b"\x12\x34\x56\x78"  # chance costs both sides alike

    def step(self):
        uplink = self._uplink
        uplink.push_pcm(self._mic, 640)
        uplink.next()
        self._copy_into(self._key, 0, 4, self._buf, self._headroom - 4)
        end = self._coze.encode_audio_into(self._buf, self._headroom, uplink.frame)
        uplink.pop()
        self._seal_masked(self._buf, self._headroom, end - self._headroom, 1)


def delta_payload(n_bytes):
    import binascii

    audio = bytes([i * 37 & 0xFF for i in range(n_bytes)])
    data = {
        "id": "7500000000000000002", "conversation_id": "7500000000000000004", "role": "assistant", "type": "answer",
        "content": binascii.b2a_base64(audio).strip().decode(), "content_type": "audio", "chat_id": CHAT_ID,
    }  # fmt: skip
    message = {
        "id": "7500000000000000003", "event_type": "conversation.audio.delta", "data": data,
        "detail": {"logid": "20250101000000ABCDEF0123456789ABCD"},
    }  # fmt: skip
    return json.dumps(message).encode()


class Down:
    """Bytes off the socket -> frame -> event -> decoded into the ring. One call is one delta."""

    def __init__(self, codec, hz):
        import ws_protocol
        from byte_ring import ByteRing
        from firmware.clouds import coze
        from kernels import copy_into

        self._copy_into = copy_into
        self.payload = delta_payload((2 * hz if codec == "pcm" else 8000) * DELTA_MS // 1000)
        n = len(self.payload)
        self._wire = bytearray(bytes([0x81, 126, n >> 8, n & 0xFF]) + self.payload)
        self._protocol = opened(ws_protocol)
        self._text = ws_protocol.TEXT
        self._ring = ByteRing(16384)
        self._coze = coze.Coze(Config, "", self._ring)

    def step(self):
        protocol = self._protocol
        protocol.fed(self._copy_into(self._wire, 0, len(self._wire), protocol.room(), 0))
        assert protocol.next_event() == self._text
        coze = self._coze
        assert coze.receive(protocol.buf, protocol.start, protocol.n, 0) == "audio"
        self._ring.write_from(coze.audio_buf, coze.audio_n, coze.audio_at)
        protocol.next_event()
        self._ring.clear()


def opened(ws_protocol):
    """A protocol object behind its handshake."""
    import ws_handshake

    protocol = ws_protocol.WSProtocol(16384, 65536)
    protocol.handshake("x", "/", {}, bytes(16))
    answer = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n" % (
        ws_handshake.accept_key(binascii.b2a_base64(bytes(16)).strip()),
    )
    room = protocol.room()
    room[: len(answer)] = answer
    protocol.fed(len(answer))
    assert protocol.next_event() == ws_protocol.OPEN
    assert protocol.next_event() == ws_protocol.NONE
    return protocol


class BaseDown:
    def __init__(self, payload):
        import straight

        self._received_audio = straight.received_audio
        self._payload = payload
        self._waiting = bytearray()

    def step(self):
        payload = bytes(self._payload)  # what readexactly() returns
        self._waiting.extend(self._received_audio(payload))
        self._waiting = bytearray()


class Play:
    """Ring -> decode, volume -> I2S, whenever the player asks for it. One call is 20 ms."""

    def __init__(self, codec_name, hz):
        import thin
        from firmware import ports, trace
        from firmware.audio import codec, gate, player
        from firmware.drivers import i2s

        thin.clock.ticks_ms = self.ticks_ms = Clock()
        down = codec.downlink(codec_name, hz)
        ibuf_bytes = hz * 2 * _SPEAKER_DMA_MS // 1000
        speaker = i2s.Speaker(
            lambda: thin.I2S(1, None, None, None, thin.I2S.TX, 16, 0, hz, ibuf_bytes), hz, ibuf_bytes
        )
        record = ports.Ports(self.ticks_ms, None, None, None, None, None)
        self._player = player.Player(speaker, 16384, down, 0, record, trace.Trace(self.ticks_ms), gate.Gate(True, 0))
        self.wire = bytearray(bytes([i * 37 & 0xFF for i in range(down.bytes_per_s * FRAME_MS // 1000)]))
        self._player.begin()
        for _ in range(8):
            self._player.write_from(self.wire, len(self.wire))
        self._due_ms = self._end_ms = 0

    def step(self):
        player = self._player
        player.write_from(self.wire, len(self.wire))
        self._end_ms += FRAME_MS
        while self._due_ms < self._end_ms:
            self.ticks_ms.ms = self._due_ms
            player.passes += 1  # as run() does
            wait_ms = player.step()
            assert wait_ms, "it has nothing to play"
            self._due_ms += wait_ms


class Clock:
    def __init__(self):
        self.ms = 0

    def __call__(self):
        return self.ms


class BasePlay:
    def __init__(self, codec, wire):
        import straight

        self._way = straight
        self._is_pcm = codec == "pcm"
        self._wire = wire
        self._table = straight.alaw_table()

    def step(self):
        way = self._way
        samples = array("h", self._wire) if self._is_pcm else way.alaw_decoded(self._wire, self._table)
        return bytes(memoryview(way.scaled(samples, 125)))


# -- measuring

if IS_MICROPYTHON:
    ticks_us = time.ticks_us
    ticks_ms = time.ticks_ms

    def since_us(start):
        return time.ticks_diff(time.ticks_us(), start)

else:

    def ticks_us():
        return time.perf_counter_ns() // 1000

    def ticks_ms():
        return time.perf_counter_ns() // 1_000_000 & 0x3FFFFFFF

    def since_us(start):
        return ticks_us() - start


def microseconds(call):
    """The best of some rounds, each at least _LEAST_US long; collections are part of it, as they are in life."""
    n = 1
    while True:
        us = run_us(call, n)
        if us >= _LEAST_US:
            break
        n = n * 2 if us < _LEAST_US // 8 else n * _LEAST_US // us + 1
    for _ in range(_ROUNDS - 1):
        us = min(us, run_us(call, n))
    return us / n


def run_us(call, n):
    gc.collect()
    start = ticks_us()
    for _ in range(n):
        call()
    return since_us(start)


def heap_bytes(call):
    """Bytes that one call takes from the heap, garbage included."""
    call()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(_HEAP_CALLS):
        call()
    n = gc.mem_alloc() - before
    gc.enable()
    return n / _HEAP_CALLS


if __name__ == "__main__":
    main(*sys.argv[1:])
