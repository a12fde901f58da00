"""Any plain WAV file -> the 16 kHz, 16-bit, mono file that the stand-in microphone hears. Desktop only, no packages.

8, 16, 24 and 32-bit PCM, any number of channels (mixed), any rate. The rate is changed by a windowed-sinc low-pass
evaluated at the new sample times, so nothing above the new half rate folds back.
"""

import math
import sys
from array import array

from tools.sim.simworld import sound, wav

_LOBES = 16  # zero crossings of the sinc on each side: about 80 dB down with this window
_PASS = 0.92  # share of the lower half rate that is kept
_MAX_S = 600


def to_mic(source, target):
    """Write `source` as a microphone clip to `target`; WavError names what cannot be used."""
    with open(source, "rb") as file:
        info = wav.read_info(file, source)
        if not info.is_pcm:
            raise wav.WavError("%s is a compressed WAV file. Save it as PCM: ffmpeg -i IN OUT.wav" % source)
        if info.bits not in (8, 16, 24, 32):
            raise wav.WavError("%s has %d bits a sample; 8, 16, 24 and 32 are understood" % (source, info.bits))
        if info.frames > _MAX_S * info.rate_hz:
            raise wav.WavError("%s lasts %d s; at most %d s" % (source, info.frames // info.rate_hz, _MAX_S))
        file.seek(info.data_at)
        data = file.read(info.frames * info.channels * info.bits // 8)
    samples = _mono(_decode(data, info.bits), info.channels)
    if info.rate_hz != sound.MIC_RATE_HZ:
        samples = resample(samples, info.rate_hz, sound.MIC_RATE_HZ)
    out = array("h", (max(-32768, min(32767, round(x))) for x in samples))
    if sys.byteorder == "big":
        out.byteswap()
    writer = wav.Writer(target, sound.MIC_RATE_HZ)
    writer.write(out.tobytes())
    writer.close()


def is_mic_clip(path):
    """True when the file can be heard as it is; WavError when it is no WAV file, OSError when it cannot be read."""
    with open(path, "rb") as file:
        info = wav.read_info(file, path)
    return (info.is_pcm, info.bits, info.channels, info.rate_hz) == (True, 16, 1, sound.MIC_RATE_HZ)


def _decode(data, bits):
    """Numbers on the scale of 16 bits."""
    if bits == 8:
        return [256 * (byte - 128) for byte in data]
    if bits == 24:
        return [int.from_bytes(data[i : i + 3], "little", signed=True) / 256 for i in range(0, len(data) - 2, 3)]
    values = array("h" if bits == 16 else "i")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return list(values) if bits == 16 else [value / 65536 for value in values]


def _mono(samples, channels):
    if channels == 1:
        return samples
    return [sum(samples[i : i + channels]) / channels for i in range(0, len(samples) - channels + 1, channels)]


def resample(samples, rate_hz, new_rate_hz):
    """The same sound at another rate; as many samples as last for the same time."""
    divisor = math.gcd(rate_hz, new_rate_hz)
    up, down = new_rate_hz // divisor, rate_hz // divisor
    # In units of the old sample: the kernel is stretched when the new rate is the lower one.
    cutoff = _PASS * min(1.0, new_rate_hz / rate_hz)
    reach = math.ceil(_LOBES / cutoff)
    kernels = {}
    padded = [0] * reach + list(samples) + [0] * (reach + 1)
    out = []
    for n in range(len(samples) * up // down):
        at, phase = divmod(n * down, up)
        kernel = kernels.get(phase)
        if kernel is None:
            kernel = kernels[phase] = _kernel(phase / up, cutoff, reach)
        out.append(sum(map(float.__mul__, kernel, map(float, padded[at + 1 : at + 1 + len(kernel)]))))
    return out


def _kernel(fraction, cutoff, reach):
    """Weights of the old samples 1 - reach ... reach for a new sample `fraction` behind number 0; their sum is 1."""
    weights = []
    for k in range(1 - reach, reach + 1):
        x = k - fraction
        sinc = cutoff if x == 0 else math.sin(math.pi * cutoff * x) / (math.pi * x)
        window = max(0.0, 1 - (x / reach) ** 2)
        weights.append(sinc * window**2)
    total = sum(weights)
    return [weight / total for weight in weights]
