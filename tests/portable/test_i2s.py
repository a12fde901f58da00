"""The I2S drivers over an object that behaves as the ESP32 port's: blocking until it has been polled."""

import select
import sys

from check import assert_no_allocation, raises
from firmware.drivers.i2s import Mic, Speaker
from firmware.errors import AudioError

try:
    import os

    _fileno = os.pipe()[0]  # CPython polls file numbers; nothing is ever written into this one
except AttributeError:
    _fileno = -1

if sys.implementation.name == "micropython":
    import io

    _Base = io.IOBase
else:
    _Base = object

_POLL = 3  # MP_STREAM_POLL


class FakeI2S(_Base):
    """Notes what is done to it; `is_blocking` until the first poll."""

    def __init__(self, log, error=None):
        self.log = log
        self.error = error
        self.is_blocking = True
        self.polls = 0
        self.result = 0
        log.append("init")

    def _polled(self):
        self.polls += 1
        self.is_blocking = False

    def fileno(self):  # CPython's poll asks for it
        self._polled()
        return _fileno

    def ioctl(self, request, arg):  # MicroPython's does this; the ready flag never comes
        if request != _POLL:
            return -1
        self._polled()
        return 0

    def write(self, mv):
        assert not self.is_blocking, "this write would block the loop"
        if self.error:
            raise self.error
        return self.result

    readinto = write

    def deinit(self):
        self.log.append("deinit")
        if self.error:
            raise self.error


class Bench:
    def __init__(self):
        self.log = []
        self.made = []
        self.error = None

    def make(self):
        if self.error:
            raise self.error
        self.made.append(FakeI2S(self.log))
        return self.made[-1]


def test_each_fresh_port_is_polled_once_and_never_again():
    for kind in (Mic, Speaker):
        bench = Bench()
        port = kind(bench.make, 16000, 8192)
        move = port.readinto if kind is Mic else port.write
        for _ in range(50):
            assert move(memoryview(bytearray(512))) == 0
        assert bench.made[0].polls == 1
        (port.restart if kind is Mic else port.stop)()
        move(memoryview(bytearray(512)))
        assert bench.log == ["init", "deinit", "init"]
        assert bench.made[0].polls == 1 and bench.made[1].polls == 1
        assert port.restarts == 1


def test_counts_go_through_and_none_is_nothing():
    bench = Bench()
    speaker = Speaker(bench.make, 16000, 8192)
    mic = Mic(bench.make, 16000, 8192)
    buf = memoryview(bytearray(640))
    for result, count in ((512, 512), (0, 0), (None, 0), (130, 130)):
        bench.made[0].result = bench.made[1].result = result
        assert speaker.write(buf) == count and mic.readinto(buf) == count


def test_the_depth_of_the_dma_follows_the_port():
    bench = Bench()
    # 8 bytes a frame from a microphone, 2 to a loudspeaker; at least two blocks of 256 frames.
    assert Mic(bench.make, 16000, 8192).dma_frames == 4 * 256
    assert Mic(bench.make, 16000, 100).dma_frames == 2 * 256
    assert Speaker(bench.make, 24000, 8192).dma_frames == 16 * 256
    assert Speaker(bench.make, 24000, 4095).dma_frames == 7 * 256
    assert Speaker(bench.make, 24000, 0).rate_hz == 24000


def test_a_failure_of_the_bus_is_an_audio_error():
    bench = Bench()
    for kind, word in ((Mic, "microphone"), (Speaker, "loudspeaker")):
        bench.error = None
        port = kind(bench.make, 16000, 8192)
        move = port.readinto if kind is Mic else port.write
        bench.made[-1].error = OSError(5)
        with raises(AudioError, word):
            move(memoryview(bytearray(512)))
        bench.made[-1].error = None
        for error in (OSError(19), ValueError("invalid pin")):
            bench.error = error
            with raises(AudioError, word):
                (port.restart if kind is Mic else port.stop)()
            with raises(AudioError, "switched off"):
                move(memoryview(bytearray(512)))
        bench.error = None
        (port.restart if kind is Mic else port.stop)()
        assert move(memoryview(bytearray(512))) == 0


def test_deinit_may_be_called_twice():
    bench = Bench()
    port = Speaker(bench.make, 16000, 8192)
    port.deinit()
    port.deinit()
    assert bench.log == ["init", "deinit"]


def test_a_port_that_fails_to_stop_is_let_go_and_may_be_started_anew():
    bench = Bench()
    port = Speaker(bench.make, 16000, 8192)
    bench.made[0].error = OSError(5)
    with raises(AudioError, "does not stop"):
        port.stop()
    port.stop()
    assert port.write(memoryview(bytearray(512))) == 0 and len(bench.made) == 2


def test_moving_sound_allocates_nothing():
    bench = Bench()
    port = Speaker(bench.make, 16000, 8192)
    assert_no_allocation(port.write, memoryview(bytearray(512)))
    assert hasattr(select, "poll")
