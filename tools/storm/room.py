"""What the microphone hears: faint noise that never repeats within a minute, and a voice while a person talks.

Every stretch of 64 samples tells where on the time line it was heard, so a lost, doubled or swapped frame shows. The
Room keeps what it gave, for whoever compares (checks/questions.py).
"""

import numpy

RATE_HZ = 16000
_NOISE_SAMPLES = 1 << 20  # 65 s
_NOISE_PEAK = 48  # below what the cloud's detector takes for sound
_KEPT_SAMPLES = 1 << 21  # 131 s
_MASK = _KEPT_SAMPLES - 1
_VOICE_SAMPLES = 8 * RATE_HZ
_VOICE_PEAK = 6000
_FADE_SAMPLES = 160


class Room:
    """seed: of noise and voice; gain_q8: of the board, which hears them equally loud. Has the face of
    simworld.sound.Ear.

    fault   "" or what is wrong with the microphone: "zeros", "dc" (a constant)
    """

    echo = None

    def __init__(self, seed, gain_q8=1024):
        chance = numpy.random.Generator(numpy.random.PCG64(seed))
        peak = _NOISE_PEAK * 1024 // gain_q8
        self._noise = chance.integers(-peak, peak + 1, _NOISE_SAMPLES + 4096, dtype=numpy.int16)
        self._noise[_NOISE_SAMPLES:] = self._noise[:4096]
        self._voice = _voice(chance, _VOICE_PEAK * 1024 // gain_q8)
        self._kept = numpy.zeros(_KEPT_SAMPLES, numpy.int16)
        self._talk = []  # (first sample, sample behind the last) of the voice, in order
        self.fault = ""
        self.is_mute = False  # whoever talks is not heard
        self.heard_until = 0  # number of the sample behind the newest that was rendered
        self.on_block = None  # called with (first sample, samples as an array)

    def say(self, first, samples):
        """The voice sounds for so many samples from `first` of the time line on; replaces what still sounds."""
        while self._talk and self._talk[-1][1] > first:
            start, _ = self._talk.pop()
            if start < first:
                self._talk.append((start, first))
        self._talk.append((first, first + samples))
        if len(self._talk) > 32:
            self._talk.pop(0)

    def hush(self, at):
        """The voice stops here."""
        if self._talk and self._talk[-1][1] > at:
            start, _ = self._talk.pop()
            if start < at:
                self._talk.append((start, at))

    def render(self, at, mv):
        """Ear.render: fill the byte view with the s16le samples from `at` on; True when it may hold sound."""
        n = len(mv) >> 1
        block = self._sound(at, n)
        mv[:] = block.tobytes()
        self._keep(at, block)
        if self.on_block is not None:
            self.on_block(at, block)
        return True

    def _sound(self, at, n):
        if self.fault == "zeros":
            return numpy.zeros(n, numpy.int16)
        if self.fault == "dc":
            return numpy.full(n, 1200, numpy.int16)
        start = at % _NOISE_SAMPLES
        block = self._noise[start : start + n]
        for first, end in reversed(self._talk):
            if end <= at or self.is_mute:
                break
            if first < at + n:
                block = block.copy()
                a, b = max(first, at), min(end, at + n)
                phase = (a - first) % (_VOICE_SAMPLES - 4096)
                block[a - at : b - at] += self._voice[phase : phase + b - a]
        return block

    def _keep(self, at, block):
        n = len(block)
        start = at & _MASK
        if start + n <= _KEPT_SAMPLES:
            self._kept[start : start + n] = block
        else:
            cut = _KEPT_SAMPLES - start
            self._kept[start:] = block[:cut]
            self._kept[: n - cut] = block[cut:]
        self.heard_until = at + n

    @property
    def oldest(self):
        """Number of the oldest sample that kept() still gives."""
        return max(0, self.heard_until - _KEPT_SAMPLES + 4096)

    def kept(self, first, end):
        """What was rendered for the samples first..end of the time line."""
        a, b = first & _MASK, end & _MASK
        if a < b:
            return self._kept[a:b]
        return numpy.concatenate((self._kept[a:], self._kept[:b]))


def _voice(chance, peak):
    """Something that a detector of speech takes for speech: a gliding pitch with overtones, in syllables."""
    t = numpy.arange(_VOICE_SAMPLES + 4096) / RATE_HZ
    pitch_hz = 130 + 25 * numpy.sin(2 * numpy.pi * 0.7 * t) + 12 * numpy.sin(2 * numpy.pi * 2.3 * t)
    phase = 2 * numpy.pi * numpy.cumsum(pitch_hz) / RATE_HZ
    sound = numpy.zeros(len(t))
    for k in range(1, 24):
        formant = sum(numpy.exp(-(((130 * k - f) / w) ** 2)) for f, w in ((500, 150), (1500, 250), (2500, 350)))
        sound += (0.15 / k + formant) * numpy.sin(k * phase + chance.uniform(0, 6.28))
    syllables = 0.65 + 0.35 * numpy.sin(2 * numpy.pi * 3.6 * t)
    sound *= syllables
    sound *= peak / numpy.max(numpy.abs(sound))
    sound[:_FADE_SAMPLES] *= numpy.linspace(0, 1, _FADE_SAMPLES)
    return sound.astype(numpy.int16)
