"""The kernels in MicroPython's native code. Contracts in kernels_py.

Viper integers are machine words, 64 bits on a desktop and 32 on the device: nothing here relies on an overflow or on
a shift pushing bits out. Viper checks no bounds. Bytes are loaded one by one because any offset is allowed; 16-bit
pointers touch only the tables and the filter's state, which are arrays of their own.
"""

import micropython
from kernels_tables import ALAW_VALUES, B64_CHARS, B64_VALUES, BIT_LENGTH, ULAW_VALUES
from micropython import const

_PAD = const(61)  # "="
_FIR_BIAS = const(538_566_656)  # what 32768 under every sample adds to the sum, less half of the last bit kept


@micropython.viper
def copy_into(src: ptr8, src_at: int, n: int, dst: ptr8, dst_at: int) -> int:
    i = 0
    while i < n:
        dst[dst_at + i] = src[src_at + i]
        i += 1
    return n


@micropython.viper
def b64_encode_into(src: ptr8, src_at: int, n: int, dst: ptr8, dst_at: int) -> int:
    chars = ptr8(B64_CHARS)
    rest = n % 3
    i = src_at
    at = dst_at
    whole_end = src_at + n - rest
    while i < whole_end:
        a = src[i] << 16 | src[i + 1] << 8 | src[i + 2]
        dst[at] = chars[a >> 18]
        dst[at + 1] = chars[a >> 12 & 63]
        dst[at + 2] = chars[a >> 6 & 63]
        dst[at + 3] = chars[a & 63]
        i += 3
        at += 4
    if rest:
        a = src[i] << 8
        if rest == 2:
            a |= src[i + 1]
        dst[at] = chars[a >> 10]
        dst[at + 1] = chars[a >> 4 & 63]
        dst[at + 2] = chars[a << 2 & 63] if rest == 2 else _PAD
        dst[at + 3] = _PAD
        at += 4
    return at - dst_at


@micropython.viper
def b64_decode_into(src: ptr8, src_at: int, n_chars: int, dst: ptr8, dst_at: int) -> int:
    if n_chars & 3:
        return -1
    if n_chars == 0:
        return 0
    values = ptr8(B64_VALUES)
    end = src_at + n_chars
    n_pads = 0
    if src[end - 1] == _PAD:
        n_pads = 1
        if src[end - 2] == _PAD:
            n_pads = 2
    i = src_at
    at = dst_at
    whole_end = end
    if n_pads:
        whole_end -= 4
    while i < whole_end:
        a = values[src[i]]
        b = values[src[i + 1]]
        c = values[src[i + 2]]
        d = values[src[i + 3]]
        if (a | b | c | d) & 0x80:
            return -1
        dst[at] = a << 2 | b >> 4
        dst[at + 1] = b << 4 | c >> 2
        dst[at + 2] = c << 6 | d
        i += 4
        at += 3
    if n_pads:
        a = values[src[i]]
        b = values[src[i + 1]]
        c = 0
        if n_pads == 1:
            c = values[src[i + 2]]
        if (a | b | c) & 0x80:
            return -1
        dst[at] = a << 2 | b >> 4
        at += 1
        if n_pads == 1:
            dst[at] = b << 4 | c >> 2
            at += 1
    return at - dst_at


@micropython.viper
def xor_mask(buf: ptr8, at: int, n: int, key: ptr8):
    a = key[0]
    b = key[1]
    c = key[2]
    d = key[3]
    end = at + n
    whole_end = end - (n & 3)
    while at < whole_end:
        buf[at] ^= a
        buf[at + 1] ^= b
        buf[at + 2] ^= c
        buf[at + 3] ^= d
        at += 4
    i = 0
    while at < end:
        buf[at] ^= key[i]
        at += 1
        i += 1


@micropython.viper
def alaw_encode_into(src: ptr8, src_at: int, n_samples: int, dst: ptr8, dst_at: int) -> int:
    lengths = ptr8(BIT_LENGTH)
    i = src_at
    at = dst_at
    end = dst_at + n_samples
    while at < end:
        value = src[i] | src[i + 1] << 8
        i += 2
        code = 0xD5
        if value & 0x8000:
            value ^= 0xFFFF
            code = 0x55
        value >>= 4
        segment = lengths[value >> 4]
        if segment:
            value = segment << 4 | value >> (segment - 1) & 15
        dst[at] = value ^ code
        at += 1
    return n_samples


@micropython.viper
def ulaw_encode_into(src: ptr8, src_at: int, n_samples: int, dst: ptr8, dst_at: int) -> int:
    lengths = ptr8(BIT_LENGTH)
    i = src_at
    at = dst_at
    end = dst_at + n_samples
    while at < end:
        value = src[i] | src[i + 1] << 8
        i += 2
        code = 0xFF
        if value & 0x8000:
            value ^= 0xFFFF
            code = 0x7F
        value = (value >> 2) + 33
        if value > 8191:
            value = 8191
        segment = lengths[value >> 6]
        dst[at] = (segment << 4 | value >> (segment + 1) & 15) ^ code
        at += 1
    return n_samples


@micropython.viper
def alaw_decode_into(src: ptr8, src_at: int, n_samples: int, dst: ptr8, dst_at: int) -> int:
    values = ptr16(ALAW_VALUES)
    at = dst_at
    i = src_at
    end = src_at + n_samples
    while i < end:
        value = values[src[i]]
        dst[at] = value
        dst[at + 1] = value >> 8
        i += 1
        at += 2
    return n_samples


@micropython.viper
def ulaw_decode_into(src: ptr8, src_at: int, n_samples: int, dst: ptr8, dst_at: int) -> int:
    values = ptr16(ULAW_VALUES)
    at = dst_at
    i = src_at
    end = src_at + n_samples
    while i < end:
        value = values[src[i]]
        dst[at] = value
        dst[at + 1] = value >> 8
        i += 1
        at += 2
    return n_samples


@micropython.viper
def scale_peak(buf: ptr8, at: int, n_samples: int, gain: int, shift: int) -> int:
    half = 1 << (shift - 1)
    peak = 0
    end = at + 2 * n_samples
    if gain == 1 << shift:
        while at < end:
            value = buf[at] | buf[at + 1] << 8
            at += 2
            if value & 0x8000:
                value = 0x10000 - value
            if value > peak:
                peak = value
        return peak
    while at < end:
        value = buf[at] | buf[at + 1] << 8
        value = ((value - ((value & 0x8000) << 1)) * gain + half) >> shift
        if value > 32767:
            value = 32767
        elif value < -32768:
            value = -32768
        buf[at] = value
        buf[at + 1] = value >> 8
        at += 2
        if value < 0:
            value = 0 - value
        if value > peak:
            peak = value
    return peak


@micropython.viper
def decimate2_into(src: ptr8, src_at: int, n_samples: int, dst: ptr8, dst_at: int, state: ptr16) -> int:
    at = dst_at
    i = src_at
    left = n_samples
    while left > 0:
        n = left
        if n > 160:
            n = 160
        left -= n
        filled = state[0]
        w = 1 + filled
        filled += n
        while w <= filled:
            state[w] = (src[i] | src[i + 1] << 8) ^ 0x8000
            w += 1
            i += 2
        m = 18
        while m + 17 <= filled:
            # Unsigned samples: the positive taps add up to less than 2**31 at 65535 each, so no partial sum overflows.
            value = (
                8192 * state[m]
                + 5187 * (state[m - 1] + state[m + 1])
                - 1657 * (state[m - 3] + state[m + 3])
                + 911 * (state[m - 5] + state[m + 5])
                - 569 * (state[m - 7] + state[m + 7])
                + 368 * (state[m - 9] + state[m + 9])
                - 236 * (state[m - 11] + state[m + 11])
                + 146 * (state[m - 13] + state[m + 13])
                - 84 * (state[m - 15] + state[m + 15])
                + 56 * (state[m - 17] + state[m + 17])
                - _FIR_BIAS
            ) >> 14
            if value > 32767:
                value = 32767
            elif value < -32768:
                value = -32768
            dst[at] = value
            dst[at + 1] = value >> 8
            at += 2
            m += 2
        m -= 18
        filled -= m
        w = 1
        while w <= filled:
            state[w] = state[m + w]
            w += 1
        state[0] = filled
    return (at - dst_at) >> 1
