"""Sound for the cloud: WAV files and made-up signals in, wire bytes out; wire bytes in, 16-bit mono PCM out.

Samples are array("h"), mono; wire PCM is little-endian. A made-up signal never repeats within an answer where that
can be had (`noise`, `ramp`, `chirp`), so that one lost, doubled or swapped piece shows.
"""

import array
import math
import operator
import random
import sys
import wave
from functools import lru_cache
from pathlib import Path

from . import g711

SPEECH_FOLDER = Path(__file__).parent / "speech"
SIGNALS = ("chirp", "ramp", "noise", "silence")
_KERNEL_HALF = 12  # zero crossings on each side of the resampler's windowed sinc


def to_little_endian(samples):
    if sys.byteorder == "big":
        samples = array.array("h", samples)
        samples.byteswap()
    return samples.tobytes()


def from_little_endian(data):
    samples = array.array("h", bytes(data))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def read_wav(path):
    """(rate_hz, samples) of a 16-bit mono WAV file; ValueError names what is wrong with the file."""
    try:
        with wave.open(str(path), "rb") as file:
            if file.getnchannels() != 1 or file.getsampwidth() != 2:
                raise ValueError("%s: must be mono, 16 bits a sample" % path)
            return file.getframerate(), from_little_endian(file.readframes(file.getnframes()))
    except (wave.Error, EOFError) as error:
        raise ValueError("%s: not a WAV file (%s)" % (path, error)) from error


def write_wav(path, samples_le, rate_hz):
    """samples_le: 16-bit mono little-endian bytes."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples_le)


def resample(samples, from_hz, to_hz):
    """Band-limited conversion (windowed sinc, one set of taps for each phase)."""
    if from_hz == to_hz:
        return samples
    divisor = math.gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    kernels, half = _kernels(up, down)
    padded = array.array("h", bytes(2 * half)) + samples + array.array("h", bytes(2 * half))
    out = array.array("h")
    for i in range(len(samples) * up // down):
        at, phase = divmod(i * down, up)
        value = sum(map(operator.mul, padded[at : at + 2 * half], kernels[phase]))
        out.append(max(-32768, min(32767, round(value))))
    return out


@lru_cache(maxsize=16)
def _kernels(up, down):
    """The taps of each of the `up` phases, and half their number."""
    cutoff = min(1.0, up / down) * 0.94  # leaves room for the transition below the new Nyquist frequency
    half = math.ceil(_KERNEL_HALF / cutoff)
    kernels = []
    for phase in range(up):
        taps = []
        for k in range(2 * half):
            distance = k - half - phase / up  # padded[at + half] is the sample at `at`
            window = 0.5 + 0.5 * math.cos(math.pi * max(-1.0, min(1.0, distance / half)))
            taps.append(window * cutoff * _sinc(cutoff * distance))
        total = sum(taps)
        kernels.append([tap / total for tap in taps])
    return kernels, half


def _sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def _chirp(n, rate_hz, level, seed):
    """A sweep from 200 Hz to 0.2 of the rate: every instant has a pitch of its own."""
    top_hz = rate_hz * 0.2
    phase, out = 0.0, array.array("h")
    for i in range(n):
        out.append(round(level * math.sin(phase)))
        phase += 2 * math.pi * (200 + (top_hz - 200) * i / n) / rate_hz
    return out


def _ramp(n, rate_hz, level, seed):
    """Counts upwards by 7 and wraps: the difference of any two neighbours is known; repeats after 65 536 samples."""
    return array.array("h", [((i * 7 + seed) & 0xFFFF) - 32768 for i in range(n)])


def _noise(n, rate_hz, level, seed):
    chance = random.Random(seed)
    return array.array("h", [chance.randint(-level, level) for _ in range(n)])


def _silence(n, rate_hz, level, seed):
    return array.array("h", bytes(2 * n))


_MAKERS = {"chirp": _chirp, "ramp": _ramp, "noise": _noise, "silence": _silence}


@lru_cache(maxsize=64)
def make_signal(name, duration_ms, rate_hz, level=8000, seed=1):
    """name: one of SIGNALS; level: the peak, 0..32767 (a ramp always takes the full range)."""
    return _MAKERS[name](duration_ms * rate_hz // 1000, rate_hz, level, seed)


@lru_cache(maxsize=64)
def load_wav(path, rate_hz):
    from_hz, samples = read_wav(path)
    return resample(samples, from_hz, rate_hz)


class WireFormat:
    """How samples travel: codec pcm, g711a or g711u at rate_hz, always mono; PCM 16-bit little-endian."""

    def __init__(self, codec, rate_hz):
        self.codec = codec
        self.rate_hz = rate_hz
        self.bytes_per_sample = 2 if codec == "pcm" else 1

    @property
    def bytes_per_ms(self):
        return self.rate_hz * self.bytes_per_sample / 1000

    def encode(self, samples):
        if self.codec == "g711a":
            return g711.encode_alaw(samples)
        if self.codec == "g711u":
            return g711.encode_ulaw(samples)
        return to_little_endian(samples)

    def decode(self, wire):
        """16-bit little-endian bytes; an incomplete last sample is left out."""
        if self.codec == "g711a":
            return to_little_endian(array.array("h", g711.decode_alaw(wire)))
        if self.codec == "g711u":
            return to_little_endian(array.array("h", g711.decode_ulaw(wire)))
        return bytes(wire[: len(wire) & ~1])


class InputFormat(WireFormat):
    """What a client sends: also 8 or 24 bits and two channels. A codec without a decoder here yields no PCM."""

    def __init__(self, codec, rate_hz, channels=1, bit_depth=16):
        super().__init__(codec, rate_hz)
        self.is_decodable = codec != "opus"
        if codec == "pcm":
            self._width = bit_depth // 8
            self._channels = channels
            self.bytes_per_sample = self._width * channels
        else:
            self._width = self._channels = 1

    def decode(self, wire):
        if not self.is_decodable:
            return b""
        if self.codec != "pcm" or self.bytes_per_sample == 2 and self._channels == 1:
            return super().decode(wire)
        return self._first_channel(bytes(wire))

    def _first_channel(self, wire):
        step = self.bytes_per_sample
        whole = len(wire) // step * step
        if self._width == 1:
            # 8-bit PCM is unsigned, as in a WAV file.
            return to_little_endian(array.array("h", [(wire[i] - 128) << 8 for i in range(0, whole, step)]))
        at = self._width - 2  # of 24 bits the upper 16
        out = bytearray()
        for i in range(0, whole, step):
            out += wire[i + at : i + at + 2]
        return bytes(out)
