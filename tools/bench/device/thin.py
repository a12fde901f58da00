"""The least board on which the speaker's program can be measured: it allocates nothing while sound moves. Portable.

    install()                  `machine`, `network`, `neopixel` and `ntptime` are these from now on
    make_speaker()             the speaker on this board, after install()
    mic.is_on, speaker.bytes   what the measurement asks

The sound is one known frame over and over. The simulator's board (tools/sim) is awkward on purpose and keeps records;
this one is only cheap, so that a figure is the firmware's own.
"""

import gc
import sys

from kernels import copy_into

from firmware.compat import IS_MICROPYTHON, ticks_diff, ticks_ms

_BLOCK_FRAMES = 256
_RX_FRAME_BYTES = 8


class _Clock:
    def __init__(self):
        self.ticks_ms = ticks_ms  # replaced by whoever steps time


clock = _Clock()


class Pin:
    IN = 1
    OUT = 3
    PULL_UP = 2

    def __init__(self, id, mode=None, pull=None, value=None):
        pass

    def value(self, x=None):
        return 1


if IS_MICROPYTHON:
    from io import IOBase as _Stream
else:
    _Stream = object


class I2S(_Stream):
    """One DMA ring on the clock: blocks of 256 frames come and go by the time that has passed."""

    RX = 1
    TX = 2
    MONO = 0
    opened = {}  # mode -> the newest one

    def __init__(self, id, sck, ws, sd, mode, bits, format, rate, ibuf):
        self._is_rx = mode == I2S.RX
        self._rate_khz = rate // 1000
        frame_bytes = _RX_FRAME_BYTES if self._is_rx else 2
        self._dma_frames = max(2, ibuf // (_BLOCK_FRAMES * frame_bytes)) * _BLOCK_FRAMES
        self._start_ms = clock.ticks_ms()
        self._frames = 0  # read or written, missed ones included
        self._at = 0
        self._tone = _tone()
        self.bytes = 0  # read or written
        self.silent_frames = 0  # played without any sound to play
        I2S.opened[mode] = self

    def _due(self):
        """Frames that have passed the wire, in whole blocks."""
        passed = ticks_diff(clock.ticks_ms(), self._start_ms) * self._rate_khz
        return passed - passed % _BLOCK_FRAMES

    def readinto(self, buf):
        due = self._due()
        if due - self._frames > self._dma_frames:
            self._frames = due - self._dma_frames
        n = min(len(buf), 2 * (due - self._frames))
        done = 0
        while done < n:
            part = min(n - done, len(self._tone) - self._at)
            copy_into(self._tone, self._at, part, buf, done)
            self._at = (self._at + part) % len(self._tone)
            done += part
        self._frames += n >> 1
        self.bytes += n
        return n

    def write(self, buf):
        due = self._due()
        if self._frames < due:
            self.silent_frames += due - self._frames
            self._frames = due
        n = min(len(buf), 2 * (due + self._dma_frames - _BLOCK_FRAMES - self._frames))
        self._frames += n >> 1
        self.bytes += n
        return n

    def deinit(self):
        pass

    if IS_MICROPYTHON:

        def ioctl(self, request, flags):
            return 0

    else:

        def fileno(self):
            return 1


def _tone():
    """20 ms of a saw tooth at 16 kHz, at the level that a 16-bit microphone slot shows."""
    data = bytearray(640)
    for i in range(320):
        value = (i * 397 % 4096 - 2048) & 0xFFFF
        data[2 * i] = value & 0xFF
        data[2 * i + 1] = value >> 8
    return data


def freq():
    return 240_000_000


def unique_id():
    return b"\x02\x50\x69\x70\x69\x74"


class WLAN:
    PM_NONE = 0

    def __init__(self, interface):
        self._is_up = False

    def active(self, is_active=None):
        return True

    def connect(self, *args):
        self._is_up = True

    def disconnect(self):
        self._is_up = False

    def isconnected(self):
        return self._is_up

    def status(self, param=None):
        return 1010

    def ifconfig(self):
        return ("192.168.4.17", "", "", "")

    def config(self, *args, **kw):
        pass


class NeoPixel:
    def __init__(self, pin, n):
        pass

    def fill(self, rgb):
        pass

    def write(self):
        pass


class _Module:
    pass


_NAMES = {
    "machine": {"Pin": Pin, "I2S": I2S, "unique_id": unique_id, "freq": freq},
    "network": {"WLAN": WLAN, "STA_IF": 0},
    "neopixel": {"NeoPixel": NeoPixel},
}


def install():
    """Put the modules where `import` finds them; returns what remove() wants back."""
    before = {}
    for name in _NAMES:
        before[name] = sys.modules.get(name)
        module = _Module()
        for key in _NAMES[name]:
            setattr(module, key, _NAMES[name][key])
        sys.modules[name] = module
    return before


def make_speaker():
    """The app's Speaker by the config.json of this folder, its modules loaded in the order of firmware/start.py."""
    from firmware import boards, collector, config

    collector.pack(True)
    settings = config.load("config.json")
    board = boards.load("sim")
    gc.collect()
    from firmware import app, ports

    gc.collect()
    speaker = app.Speaker(settings, board, ports.real())
    collector.pack(False)
    return speaker


def remove(before):
    for name in before:
        if before[name] is None:
            sys.modules.pop(name)
        else:
            sys.modules[name] = before[name]
