"""A microphone whose L/R pin is not at ground: it talks in the right slot of the bus, the other one is silent."""

from stereo import right_into

from ..compat import const
from .i2s import Mic

_BOTH_BYTES = const(1280)  # both slots of 20 ms


class RightMic(Mic):
    """make_i2s() opens STEREO here, because the port's mono is the left slot."""

    def __init__(self, make_i2s, rate_hz, ibuf_bytes):
        super().__init__(make_i2s, rate_hz, ibuf_bytes)
        self._both = memoryview(bytearray(_BOTH_BYTES))
        self._parts = {_BOTH_BYTES: self._both}  # length -> so much of it; a recorder asks for five lengths

    def readinto(self, mv):
        """As Mic's."""
        done = 0
        wanted = len(mv)
        while done < wanted:
            n = min(2 * (wanted - done), _BOTH_BYTES)
            got = super().readinto(self._part(n))
            right_into(self._both, got >> 2, mv[done:] if done else mv)
            done += got >> 1
            if got < n:
                break
        return done

    def _part(self, n):
        part = self._parts.get(n)
        if part is None:
            part = self._both[:n]
            if not n & 255:
                self._parts[n] = part
        return part
