"""The sample loops of lib/kernels_host.py on numpy, equal to the bit: an hour of low-pass would cost minutes otherwise.

Contracts in lib/kernels_py.py. Installed before the firmware is imported; where it was imported already (tests), the
kernels that it has found stay, and nothing but the speed changes.
"""

from functools import lru_cache

import kernels_py
import numpy
from kernels_tables import FIR_MIDDLE, FIR_SIDES, FIR_TAPS, LOUD_PEAK

_REACH = FIR_TAPS // 2
_HALF_TAPS = numpy.zeros(2 * _REACH + 1, numpy.int32)
_HALF_TAPS[_REACH] = FIR_MIDDLE
for _i, _tap in enumerate(FIR_SIDES):
    _HALF_TAPS[_REACH - 2 * _i - 1] = _HALF_TAPS[_REACH + 2 * _i + 1] = _tap


def install():
    import kernels

    for function in (scale_into, scale_peak, decimate2_into, expand_into, alaw_encode_into, ulaw_encode_into):
        setattr(kernels, function.__name__, function)


def _samples(buf, at, n_samples):
    return numpy.frombuffer(bytes(memoryview(buf).cast("B")[at : at + 2 * n_samples]), numpy.int16)


def _store(samples, dst, dst_at):
    memoryview(dst).cast("B")[dst_at : dst_at + 2 * len(samples)] = samples.tobytes()
    return len(samples)


def _scaled(samples, gain, shift):
    scaled = samples.astype(numpy.int32) * gain + (1 << (shift - 1)) >> shift
    return numpy.clip(scaled, -32768, 32767).astype(numpy.int16)


def _is_loud(samples):
    return int(len(samples) > 0 and (int(samples.max()) >= LOUD_PEAK or int(samples.min()) <= -LOUD_PEAK))


def scale_into(src, src_at, n_samples, dst, dst_at, gain):
    samples = _samples(src, src_at, n_samples)
    if gain != 4096:
        samples = _scaled(samples, gain, 12)
    _store(samples, dst, dst_at)
    return _is_loud(samples)


def scale_peak(buf, at, n_samples, gain, shift):
    if not n_samples:
        return 0
    samples = _samples(buf, at, n_samples)
    if gain != 1 << shift:
        samples = _scaled(samples, gain, shift)
        _store(samples, buf, at)
    return max(int(samples.max()), -int(samples.min()))


def decimate2_into(src, src_at, n_samples, dst, dst_at, state):
    filled = state[0]
    window = numpy.frombuffer(state, numpy.uint16)[1 : 1 + filled].astype(numpy.int32) - 32768
    window = numpy.concatenate((window, _samples(src, src_at, n_samples)))
    sums = numpy.convolve(window, _HALF_TAPS, "valid")[::2] if len(window) > 2 * _REACH else window[:0]
    samples = numpy.clip(sums + 8192 >> 14, -32768, 32767).astype(numpy.int16)
    left = window[2 * len(samples) :]
    state[0] = len(left)
    memoryview(state)[1 : 1 + len(left)] = memoryview((left + 32768).astype(numpy.uint16)).cast("B").cast("H")
    if state[-1]:
        return alaw_encode_into(samples.tobytes(), 0, len(samples), dst, dst_at)
    return _store(samples, dst, dst_at)


@lru_cache(maxsize=8)
def _table(values):
    return numpy.frombuffer(values, numpy.int16)


def expand_into(src, src_at, n_samples, dst, dst_at, values):
    codes = numpy.frombuffer(bytes(memoryview(src)[src_at : src_at + n_samples]), numpy.uint8)
    samples = _table(bytes(values))[codes]
    _store(samples, dst, dst_at)
    return _is_loud(samples)


@lru_cache(maxsize=None)
def _codes(encode_into):
    """The code of every sample & 0xFFFF."""
    codes = bytearray(65536)
    encode_into(numpy.arange(65536).astype(numpy.uint16).tobytes(), 0, 65536, codes, 0)
    return numpy.frombuffer(bytes(codes), numpy.uint8)


def _encode(encode_into, src, src_at, n_samples, dst, dst_at):
    samples = _samples(src, src_at, n_samples).view(numpy.uint16)
    memoryview(dst)[dst_at : dst_at + n_samples] = _codes(encode_into)[samples].tobytes()
    return n_samples


def alaw_encode_into(src, src_at, n_samples, dst, dst_at):
    return _encode(kernels_py.alaw_encode_into, src, src_at, n_samples, dst, dst_at)


def ulaw_encode_into(src, src_at, n_samples, dst, dst_at):
    return _encode(kernels_py.ulaw_encode_into, src, src_at, n_samples, dst, dst_at)
