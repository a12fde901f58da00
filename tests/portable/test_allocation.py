"""The whole speaker, built as app.py builds it, on stepped time: what 20 ms up and 20 ms down take from the heap.

The board is tools/bench/device/thin.py and the connection lies in memory; neither allocates, so what is counted is
the firmware's own: every task, every await, the session, the protocol. Sockets and TLS: tests/test_bench_allocation.py.
"""

import asyncio
import gc
import json
import sys

import check
from check import HeapMeter, now_ms, run_stepped
from fake_peer import good_answer, unmask

HERE = __file__.replace("\\", "/").rpartition("/")[0] or "."
_THIN = HERE + "/../../tools/bench/device"
if _THIN not in sys.path:
    sys.path.append(_THIN)

import thin
from kernels import copy_into

from firmware import app, boards, compat, config, report
from firmware.session import states

FRAME_MS = 20
DELTA_MS = 60
CHAT_ID = "7500000000000000001"
# 64 random bytes serve the masks of 16 frames: one bytes object of 112 (64-bit) or 80 (32-bit) heap bytes, so 7 or 5
# a frame. Anything else that allocates once a frame adds 16 at the very least.
LIMIT_BYTES = 12


def message(event_type, data):
    return json.dumps({"id": "1", "event_type": event_type, "data": data, "detail": {"logid": "02" * 17}}).encode()


def framed(payload):
    """As a server frames a message of 126 to 65535 bytes."""
    out = bytearray(4 + len(payload))
    out[0] = 0x81
    out[1] = 126
    out[2] = len(payload) >> 8
    out[3] = len(payload) & 0xFF
    out[4:] = payload
    return out


def delta(n_bytes):
    import binascii

    audio = bytes([0x55 ^ (i * 7 & 0x7F) for i in range(n_bytes)])
    content = binascii.b2a_base64(audio).strip().decode()
    return framed(message("conversation.audio.delta", {"chat_id": CHAT_ID, "type": "answer", "content": content}))


class MemoryCloud:
    """A Stream (firmware/net/stream.py) to a cloud that has one delta to give, again and again."""

    def __init__(self, a_delta):
        self.frames = 0  # messages that came
        self.is_closed = False
        self._delta = a_delta
        self._due = bytearray()  # what is given before any delta
        self._deltas_due = 0
        self._news = asyncio.Event()
        self.readable = compat.wait_event(self._news)
        self.writable = self.readable  # never waited for: this peer takes everything
        self._is_shaken = False

    def write(self, buf, at, n):
        if not self._is_shaken:
            self._is_shaken = True
            self.say(good_answer(bytes(memoryview(buf)[at : at + n])))
        else:
            self.frames += 1
            if self.frames == 1:
                _, configuration, _ = unmask(bytes(memoryview(buf)[at : at + n]))
                assert json.loads(configuration)["event_type"] == "chat.update"
                self.say(framed(message("chat.updated", {"chat_config": {"conversation_id": "1" * 100}})))
        return n

    def say(self, data):
        self._due += data
        self._news.set()

    def answer(self):
        """One delta is there from now on."""
        self._deltas_due += 1
        self._news.set()

    def readinto(self, mv):
        if self.is_closed:
            return 0
        if self._due:
            n = len(self._due)
            copy_into(self._due, 0, n, mv, 0)
            self._due = bytearray()
            return n
        if not self._deltas_due:
            self._news.clear()
            return None
        self._deltas_due -= 1
        return copy_into(self._delta, 0, len(self._delta), mv, 0)

    def close(self):
        self.is_closed = True
        self._news.set()


class Duplex:
    """A speaker that streams its microphone and plays an answer at the same time, for ever."""

    def __init__(self, codec, downlink_hz):
        self.bytes_per_s = 2 * downlink_hz if codec == "pcm" else 8000
        self.cloud = MemoryCloud(delta(self.bytes_per_s * DELTA_MS // 1000))

        async def connect(address, host, tls, timeout_ms):
            return self.cloud

        settings = {
            "board": "sim", "cloud_url": "ws://localhost/v1/chat", "bot_id": "1", "token": "pat_x", "mode": "free",
            "uplink_codec": codec, "downlink_codec": codec, "downlink_hz": downlink_hz,
            "wifi_ssid": "x", "wifi_password": "xxxxxxxx",
        }  # fmt: skip
        thin.clock.ticks_ms = now_ms
        modules = thin.install()
        try:
            ports = check.ports(resolve=lambda host, port: (host, port), connect=connect)
            ports.random_bytes = compat.random_bytes  # the repeatable one of check.py allocates far more
            self.speaker = app.Speaker(config.parse(json.dumps(settings)), boards.load("sim"), ports)
        finally:
            thin.remove(modules)

    async def play(self, ms):
        """Let `ms` of sound go both ways, deltas by the clock."""
        cloud = self.cloud
        sleep_ms = self.speaker.ports.sleep_ms
        for _ in range(ms // DELTA_MS):
            cloud.answer()
            await sleep_ms(DELTA_MS)

    async def begin(self):
        session = self.speaker.session
        while session.state != states.IDLE:
            await self.speaker.ports.sleep_ms(10)
        session.post("press")
        self.cloud.say(framed(message("conversation.chat.created", {"id": CHAT_ID, "conversation_id": "1" * 80})))
        for _ in range(5):
            self.cloud.answer()
        await self.play(1200)
        assert session.state == states.SPEAKING and self.speaker.uplink.is_recording


def measured(codec, downlink_hz):
    """Heap bytes per pair of frames, after checking that every pair really went both ways."""

    async def test():
        duplex = Duplex(codec, downlink_hz)
        speaker = duplex.speaker
        life = asyncio.create_task(speaker.run())
        await duplex.begin()
        frames = duplex.cloud.frames
        played = speaker.player.samples_played
        meter = HeapMeter()
        meter.start()
        await duplex.play(4800)
        n_bytes = meter.stop()
        pairs = 4800 // FRAME_MS
        assert abs(duplex.cloud.frames - frames - pairs) <= 2, duplex.cloud.frames - frames
        wanted = 4800 * downlink_hz // 1000
        assert abs(speaker.player.samples_played - played - wanted) <= 512
        assert speaker.player.underruns == 0 and speaker.uplink.dropped_frames == 0
        life.cancel()
        await speaker.ports.sleep_ms(0)
        return n_bytes / pairs

    sink = report.sink
    report.sink = lambda line: None
    try:
        return run_stepped(test)
    finally:
        report.sink = sink
        gc.collect()


def test_a_pair_of_g711_frames_costs_its_mask_keys_only():
    n_bytes = measured("g711a", 8000)
    assert n_bytes <= LIMIT_BYTES, n_bytes


def test_a_pair_of_pcm_frames_costs_its_mask_keys_only():
    n_bytes = measured("pcm", 24000)
    assert n_bytes <= LIMIT_BYTES, n_bytes
