"""The short beeps that say what is wrong when no voice can; which ones stands in beep_patterns.py.

Made by integer arithmetic, block by block: a triangle wave, faded in and out so that no note clicks.
"""

from unload import unload

from ..compat import const

_NOTE_MS = const(90)
_FADE_MS = const(6)
_PEAK_SHIFT = const(2)  # -12 dB of full scale, before the volume

_NOTE_HZ = {"l": 392, "m": 587, "h": 880, "-": 0}


class Beep:
    """rate_hz: of the samples made."""

    def __init__(self, rate_hz):
        self._rate_hz = rate_hz
        self._note_samples = rate_hz * _NOTE_MS // 1000
        self._fade_samples = rate_hz * _FADE_MS // 1000
        self._notes = ""
        self._note = 0  # index in _notes
        self._at = 0  # samples of this note made
        self._phase = 0  # of 65536

    def start(self, kind):
        """Begin the pattern of `kind`; an unknown word has a pattern of its own."""
        from . import beep_patterns

        self._notes = beep_patterns.PATTERNS.get(kind, beep_patterns.OTHER)
        unload(__name__.rpartition(".")[0], ("beep_patterns",))
        self._note = 0
        self._at = 0
        self._phase = 0

    def is_over(self):
        return self._note >= len(self._notes)

    def fill(self, block, n_samples):
        """Write up to n_samples of s16le to the start of block. Returns how many; fewer at the end, 0 behind it."""
        done = 0
        while done < n_samples and self._note < len(self._notes):
            step = _NOTE_HZ[self._notes[self._note]] * 65536 // self._rate_hz
            n = min(n_samples - done, self._note_samples - self._at)
            for i in range(n):
                self._put(block, 2 * (done + i), step)
            done += n
            if self._at == self._note_samples:
                self._at = 0
                self._phase = 0
                self._note += 1
        return done

    def _put(self, block, at, step):
        self._phase = (self._phase + step) & 0xFFFF
        # A quarter of a turn ahead, so that a note begins, and a pause stays, at 0.
        phase = (self._phase + 0x4000) & 0xFFFF
        height = ((phase if phase < 0x8000 else 0xFFFF - phase) - 0x4000) * 2 if step else 0
        edge = min(self._at, self._note_samples - self._at, self._fade_samples)
        value = height * edge // self._fade_samples >> _PEAK_SHIFT
        block[at] = value & 0xFF
        block[at + 1] = value >> 8 & 0xFF
        self._at += 1
