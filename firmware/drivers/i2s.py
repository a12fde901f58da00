"""The microphone and the loudspeaker on machine.I2S, without streams and without waiting.

The ESP32 port blocks in write() and readinto() until it has been polled once; from then on both return at once with
what they could move (extmod/machine_i2s.c: only ioctl, irq and init change the mode). So each fresh I2S object is
polled once, right after it is made, and never again: on modules with octal PSRAM the ready flag may never come
(micropython#16029). Whoever uses these objects asks again after a few ms.

Below I2S the DMA works in blocks of 256 frames: 2 bytes a frame towards a mono loudspeaker, always 8 bytes (stereo,
32 bits) from a microphone, whatever was asked for. `ibuf` is divided accordingly, and two blocks are the least.
"""

import select

from ..compat import const
from ..errors import AudioError

BLOCK_FRAMES = const(256)
_TX_FRAME_BYTES = const(2)
_RX_FRAME_BYTES = const(8)
_LEAST_BLOCKS = const(2)


def _dma_frames(ibuf_bytes, frame_bytes):
    return max(_LEAST_BLOCKS, ibuf_bytes // (BLOCK_FRAMES * frame_bytes)) * BLOCK_FRAMES


class _Port:
    """make_i2s() gives a fresh, started I2S object; it is called again for every restart."""

    def __init__(self, make_i2s, rate_hz, dma_frames, poll_flag, name):
        self.rate_hz = rate_hz
        self.dma_frames = dma_frames  # how many the DMA holds
        self.restarts = 0
        self._make_i2s = make_i2s
        self._poll_flag = poll_flag
        self._name = name
        self._i2s = None
        self._open()

    def _open(self):
        try:
            self._i2s = self._make_i2s()
            poller = select.poll()
            poller.register(self._i2s, self._poll_flag)
            poller.poll(0)
        except (OSError, ValueError) as error:
            raise self._failed("start", error)

    def _reopen(self):
        self.deinit()
        self.restarts += 1
        self._open()

    def _failed(self, verb, error):
        return AudioError("the %s does not %s: %s" % (self._name, verb, error))

    def _moved_again(self, move, mv):
        """What `move` gives in a second attempt, because the first one failed; AudioError when it fails again.

        Not where the first attempt is made: there the name of an error would take the frame of each call from the heap.
        """
        try:
            return move(mv) or 0
        except OSError as error:
            raise self._failed("answer", error)

    def _opened(self):
        if self._i2s is None:
            raise AudioError("the %s is switched off" % self._name)
        return self._i2s

    def is_flagged(self):
        """What poll says now: for the self-test, which tells whether the flag ever comes. Nobody else may wait for it."""
        poller = select.poll()
        poller.register(self._opened(), self._poll_flag)
        return bool(poller.poll(0))

    def deinit(self):
        """Release the pins and drop what is queued; may be called twice."""
        i2s = self._i2s
        self._i2s = None
        if i2s is None:
            return
        try:
            i2s.deinit()
        except OSError as error:
            raise self._failed("stop", error)


class Mic(_Port):
    """16-bit mono. AudioError on any failure of the bus: wait a little, then restart()."""

    def __init__(self, make_i2s, rate_hz, ibuf_bytes):
        super().__init__(make_i2s, rate_hz, _dma_frames(ibuf_bytes, _RX_FRAME_BYTES), select.POLLIN, "microphone")

    def readinto(self, mv):
        """Fill mv, an even number of bytes, as far as there is sound. Returns the bytes, 0: nothing yet."""
        if self._i2s is None:
            self._opened()
        try:
            return self._i2s.readinto(mv) or 0
        except OSError:
            pass
        return self._moved_again(self._i2s.readinto, mv)

    def restart(self):
        """Start anew; what was not read is lost."""
        self._reopen()


class Speaker(_Port):
    """16-bit mono. Plays silence when nothing is queued. AudioError on any failure of the bus: stop() starts anew."""

    def __init__(self, make_i2s, rate_hz, ibuf_bytes):
        super().__init__(make_i2s, rate_hz, _dma_frames(ibuf_bytes, _TX_FRAME_BYTES), select.POLLOUT, "loudspeaker")

    def write(self, mv):
        """Queue mv, as far as the DMA has room. Returns the bytes taken.

        Offer whole blocks of 256 frames only: the rest of a half-filled block is played one round of the DMA later.
        """
        if self._i2s is None:
            self._opened()
        try:
            return self._i2s.write(mv) or 0
        except OSError:
            pass
        return self._moved_again(self._i2s.write, mv)

    def stop(self):
        """Silence now: the queue of the DMA is recalled by taking the port down and starting it anew."""
        self._reopen()


def open_speaker(machine, pins, rate_hz, ibuf_bytes):
    """The Speaker on a board file's "speaker"; machine: the module."""

    def make():
        return machine.I2S(
            pins["i2s_id"], sck=machine.Pin(pins["sck"]), ws=machine.Pin(pins["ws"]), sd=machine.Pin(pins["sd"]),
            mode=machine.I2S.TX, bits=16, format=machine.I2S.MONO, rate=rate_hz, ibuf=ibuf_bytes,
        )  # fmt: skip

    return Speaker(make, rate_hz, ibuf_bytes)


def open_mic(machine, pins):
    """The Mic on a board file's "mic"."""
    kind = Mic
    slots = machine.I2S.MONO
    if pins.get("slot") == "right":
        from .right_mic import RightMic as kind  # few boards need it

        slots = machine.I2S.STEREO

    def make():
        return machine.I2S(
            pins["i2s_id"], sck=machine.Pin(pins["sck"]), ws=machine.Pin(pins["ws"]), sd=machine.Pin(pins["sd"]),
            mode=machine.I2S.RX, bits=16, format=slots, rate=pins["rate_hz"], ibuf=pins["ibuf_bytes"],
        )  # fmt: skip

    return kind(make, pins["rate_hz"], pins["ibuf_bytes"])
