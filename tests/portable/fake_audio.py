"""A microphone and a loudspeaker that behave as the ESP32's DMA does, on a given clock, with recognisable sound.

Whole blocks of 256 frames move between DMA and converter on a fixed grid in time; calls return at once with what they
could move; the loudspeaker plays silence when nothing is queued, the microphone loses its oldest block when nobody
reads.
"""

from array import array

from firmware.compat import ticks_diff
from firmware.errors import AudioError

BLOCK = 256



class Place:
    """Where an uplink codec puts a frame, and the link finds one: bytes from `put_at` or `at` on."""

    def __init__(self, data=b"", at=0):
        self.buf = bytearray(at) + bytearray(data)
        self.at = self.put_at = at
        self.n = len(data)


def coded(codec, data):
    """What an uplink codec makes of s16le."""
    place = Place(bytes(len(data)), 3)
    n = codec.encode(data, len(data), place)
    return bytes(place.buf[3 : 3 + n])

def ramp(first, n):
    """n samples that tell which ones they are: no two neighbours alike, none silent, all in 100..30099."""
    samples = array("h", bytes(2 * n))
    for i in range(n):
        samples[i] = 100 + (first + i) * 7 % 30000
    return samples


def pcm(samples):
    """s16le bytes of an array("h")."""
    out = bytearray(2 * len(samples))
    for i in range(len(samples)):
        out[2 * i] = samples[i] & 0xFF
        out[2 * i + 1] = samples[i] >> 8 & 0xFF
    return out


def samples_of(data):
    out = array("h", bytes(len(data) // 2 * 2))
    for i in range(len(out)):
        value = data[2 * i] | data[2 * i + 1] << 8
        out[i] = value - 0x10000 if value & 0x8000 else value
    return out


class FakeSpeaker:
    """ticks_ms: its clock; blocks: depth of the DMA; `heard`: every sample that left the DAC since start_ms.

    The DMA is a ring of blocks that is gone round for ever; a block that was played is cleared and queued for filling,
    at most all but the one under way, the longest-waiting one drops out as its turn comes. It starts as if it had run
    for long; after stop() the queue is empty, and what is written first is heard a whole round later.
    """

    def __init__(self, ticks_ms, rate_hz=16000, blocks=4, real_hz=None, phase_frames=0):
        self.rate_hz = rate_hz
        self.dma_frames = blocks * BLOCK
        self.heard = array("h")
        self.start_ms = ticks_ms()
        self.stops = 0
        self.grain_bytes = 1 << 20  # the most that one write takes
        self.fails = 0  # how many of the next calls fail
        self.most_writes_at_once = 0
        self._ticks_ms = ticks_ms
        self._real_hz = real_hz or rate_hz
        self._ring = [None] * blocks  # None is silence
        self._under_way = 0
        self._free = list(range(1, blocks))
        self._filling = bytearray()
        self._silence = array("h", bytes(2 * BLOCK))
        self._playing_to = phase_frames  # frame at which the block that is under way ends
        self._writes_at = (None, 0)

    def _now_frame(self):
        return ticks_diff(self._ticks_ms(), self.start_ms) * self._real_hz // 1000

    def _run(self):
        """Let the DAC play up to now: whole blocks enter `heard` as they begin, _cut() takes back what is too much."""
        now = self._now_frame()
        while len(self.heard) < self._playing_to:
            self.heard.append(0)
        while self._playing_to <= now:
            if len(self._free) == len(self._ring) - 1:
                self._free.pop(0)
            self._ring[self._under_way] = None
            self._free.append(self._under_way)
            self._under_way = (self._under_way + 1) % len(self._ring)
            self.heard.extend(self._ring[self._under_way] or self._silence)
            self._playing_to += BLOCK

    def _may_fail(self):
        if self.fails:
            self.fails -= 1
            raise AudioError("the fake bus fails")

    def write(self, mv):
        self._may_fail()
        self._run()
        at, n = self._writes_at
        self._writes_at = (at, n + 1) if at == self._ticks_ms() else (self._ticks_ms(), 1)
        self.most_writes_at_once = max(self.most_writes_at_once, self._writes_at[1])
        assert not (len(self._filling) + len(mv)) % (2 * BLOCK), "a write that is not of whole blocks"
        most = min(len(mv), self.grain_bytes)
        n = 0
        while n < most and self._free:
            part = min(most - n, 2 * BLOCK - len(self._filling))
            self._filling.extend(bytes(mv[n : n + part]))
            n += part
            if len(self._filling) == 2 * BLOCK:
                self._ring[self._free.pop(0)] = samples_of(self._filling)
                self._filling = bytearray()
        return n

    def stop(self):
        self._cut()
        self._may_fail()
        self.stops += 1

    def _cut(self):
        self._run()
        now = self._now_frame()
        if len(self.heard) > now:
            self.heard = self.heard[:now]
        self._ring = [None] * len(self._ring)
        self._under_way = 0
        self._free = []
        self._filling = bytearray()
        self._playing_to = now + BLOCK

    def deinit(self):
        self._cut()

    def played(self):
        """Every sample that has left the DAC by now."""
        self._run()
        return self.heard[: self._now_frame()]

    def sound(self):
        """The samples that are not silence."""
        heard = self.played()
        n = 0
        for value in heard:  # in place: a list of so many numbers does not fit into every heap
            if value:
                heard[n] = value
                n += 1
        return heard[:n]

    def sound_span_ms(self):
        """(begin, end) of the sound in ms since the start, end behind the last sample that is not silence."""
        heard = self.played()
        first = 0
        while first < len(heard) and not heard[first]:
            first += 1
        last = len(heard)
        while last and not heard[last - 1]:
            last -= 1
        return first * 1000 // self._real_hz, (last * 1000 + self._real_hz - 1) // self._real_hz

    def gaps(self):
        """[(samples before, samples of silence)] of each silence inside the sound."""
        found = []
        before = silent = 0
        for value in self.played():
            if value:
                if silent and before:
                    found.append((before, silent))
                before += 1
                silent = 0
            else:
                silent += 1
        return found


class FakeMic:
    """sample(i): what it catches at frame i since the start; blocks: depth of the DMA."""

    def __init__(self, ticks_ms, sample=None, blocks=4, real_hz=16000, phase_frames=0):
        self.rate_hz = 16000
        self.dma_frames = blocks * BLOCK
        self.lost_blocks = 0
        self.restarts = 0
        self.fails = 0
        self.is_dead = False
        self._sample = sample or (lambda i: 100 + i * 7 % 30000)
        self._ticks_ms = ticks_ms
        self._start_ms = ticks_ms()
        self._real_hz = real_hz
        self._phase = phase_frames
        self._blocks = blocks
        self._next_frame = 0  # the next one to be read
        self._cut_to = 0  # all before has been cut into blocks

    def _run(self):
        now = ticks_diff(self._ticks_ms(), self._start_ms) * self._real_hz // 1000
        while self._cut_to + BLOCK <= now + self._phase:
            self._cut_to += BLOCK
            if self._cut_to - self._next_frame > self._blocks * BLOCK:
                # The oldest block goes, the part of it that was read already included.
                lost = self._cut_to - self._blocks * BLOCK - self._next_frame
                self._next_frame += lost
                self.lost_blocks += (lost + BLOCK - 1) // BLOCK

    def readinto(self, mv):
        if self.fails:
            self.fails -= 1
            raise AudioError("the fake bus fails")
        self._run()
        if self.is_dead:
            return 0
        n = min(len(mv) // 2, self._cut_to - self._next_frame)
        for i in range(n):
            value = self._sample(self._next_frame + i)
            mv[2 * i] = value & 0xFF
            mv[2 * i + 1] = value >> 8 & 0xFF
        self._next_frame += n
        return 2 * n

    def caught_at_ms(self, frame):
        return (frame - self._phase) * 1000 // self._real_hz

    def restart(self):
        if self.fails:
            self.fails -= 1
            raise AudioError("the fake bus fails")
        self.restarts += 1
        self.is_dead = False
        self._run()
        self._next_frame = self._cut_to
