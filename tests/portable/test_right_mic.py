"""A microphone in the right slot: its samples come through in order, each once, and the left slot never does."""

import kernels
import stereo
from check import assert_no_allocation
from fake_audio import pcm, ramp
from firmware.drivers import i2s, right_mic
from test_i2s import FakeI2S


class StereoI2S(FakeI2S):
    """Holds frames of (left, right) and hands out at most `here` bytes of them a call."""

    def __init__(self, right, left=-1):
        super().__init__([])
        both = bytearray(2 * len(right))
        for i in range(0, len(right), 2):
            both[2 * i] = both[2 * i + 1] = left & 0xFF
            both[2 * i + 2 : 2 * i + 4] = right[i : i + 2]
        self.both = both
        self.at = 0
        self.here = len(both)

    def readinto(self, mv):
        n = min(len(mv), self.here, len(self.both) - self.at)
        mv[:n] = self.both[self.at : self.at + n]
        self.at += n
        return n


def a_mic(port):
    return right_mic.RightMic(lambda: port, 16_000, 8192)


def test_every_sample_of_the_right_slot_once_whatever_comes_at_a_time():
    sound = pcm(ramp(0, 2000))
    for here in (4, 12, 512, 1024, 1280, 4000, 100_000):
        for wanted in (2, 128, 512, 640, 1280, 3000):
            port = StereoI2S(sound)
            port.here = here
            mic = a_mic(port)
            heard = bytearray()
            room = memoryview(bytearray(wanted))
            while True:
                n = mic.readinto(room)
                if not n:
                    break
                assert n <= wanted
                heard += room[:n]
            assert heard == sound, (here, wanted)


def test_nothing_is_written_behind_what_was_heard():
    port = StereoI2S(pcm(ramp(0, 10)))
    room = bytearray(b"\xaa" * 640)
    assert a_mic(port).readinto(memoryview(room)) == 20
    assert room[:20] == pcm(ramp(0, 10)) and room[20:] == b"\xaa" * 620


def test_a_read_of_the_recorder_allocates_nothing():
    port = SilentI2S([])
    mic = a_mic(port)
    frame = memoryview(bytearray(640))
    for fill in (0, 128, 256, 384, 512):
        rest = frame[fill:]
        assert assert_no_allocation(mic.readinto, rest) == 640 - fill


class SilentI2S(FakeI2S):
    def readinto(self, mv):
        return len(mv)


def test_the_slot_decides_how_the_port_is_opened():
    for slot, kind, slots in ((None, i2s.Mic, 0), ("left", i2s.Mic, 0), ("right", right_mic.RightMic, 1)):
        pins = {"i2s_id": 0, "sck": 5, "ws": 4, "sd": 6, "rate_hz": 16_000, "ibuf_bytes": 8192}
        if slot:
            pins["slot"] = slot
        machine = FakeMachine()
        assert type(i2s.open_mic(machine, pins)) is kind
        assert machine.opened["format"] == slots and machine.opened["mode"] == 1


class FakeMachine:
    """As much of the module `machine` as open_mic() touches."""

    def __init__(self):
        self.I2S = _I2SKind(self)

    def Pin(self, number):
        return number


class _I2SKind:
    RX, TX, MONO, STEREO = 1, 2, 0, 1

    def __init__(self, machine):
        self._machine = machine

    def __call__(self, number, **how):
        self._machine.opened = how
        return FakeI2S([])


def test_native_code_where_there_is_some():
    if kernels.IMPLEMENTATION == "viper":
        import stereo_viper

        assert stereo.right_into is stereo_viper.right_into
    else:
        left_right = bytearray(b"\x01\x02\x03\x04\x05\x06\x07\x08")
        right = bytearray(4)
        stereo.right_into(left_right, 2, right)
        assert right == b"\x03\x04\x07\x08"
