"""The kernels in MicroPython's native code. Contracts in kernels_py.

Viper integers are machine words, 64 bits on a desktop and 32 on the device: of whatever may overflow only the lower
32 bits are used. Viper checks no bounds. Any offset is allowed, so 16-bit and 32-bit accesses stand behind a
test of the address; tables and the filter's state are arrays of their own and always aligned.

How it is written follows from what the emitter does with it, counted by `make bench-mcu`: the first two parameters
live in registers and all other locals in memory, an index that is a constant costs nothing and one that is computed
several instructions. So the loops walk pointers, unrolled, and keep them in the first two parameters: `src_at` and
the like are declared pointers although callers pass a number, and are used as one number before they become a pointer.
"""

import micropython
from kernels_tables import (
    ALAW_CODES,
    ALAW_SHIFTS,
    B64_CHARS,
    B64_WORDS,
    ULAW_CODES,
    ULAW_SHIFTS,
)
from micropython import const

_PAD = const(61)  # "="
_LOUD = const(64)  # as LOUD_PEAK of kernels_tables; here known when it is compiled
_TO_ALAW_AT = const(355)  # in the state of the low-pass
_FIR_BIAS = const(1_695_744)  # what 32768 under every sample adds to the sum beyond 32768, less half of the last bit


@micropython.viper
def copy_into(src: ptr8, src_at: ptr8, n: int, dst: ptr8, dst_at: int) -> int:
    src = ptr8(int(src) + int(src_at))
    src_at = ptr8(int(dst) + dst_at)  # from now on the destination
    left = n
    if (int(src) ^ int(src_at)) & 3 == 0:
        while int(src) & 3 and left:
            src_at[0] = src[0]
            src = ptr8(int(src) + 1)
            src_at = ptr8(int(src_at) + 1)
            left -= 1
        while left >= 16:
            ptr32(src_at)[0] = ptr32(src)[0]
            ptr32(src_at)[1] = ptr32(src)[1]
            ptr32(src_at)[2] = ptr32(src)[2]
            ptr32(src_at)[3] = ptr32(src)[3]
            src = ptr8(int(src) + 16)
            src_at = ptr8(int(src_at) + 16)
            left -= 16
    while left >= 8:
        src_at[0] = src[0]
        src_at[1] = src[1]
        src_at[2] = src[2]
        src_at[3] = src[3]
        src_at[4] = src[4]
        src_at[5] = src[5]
        src_at[6] = src[6]
        src_at[7] = src[7]
        src = ptr8(int(src) + 8)
        src_at = ptr8(int(src_at) + 8)
        left -= 8
    while left > 0:
        src_at[0] = src[0]
        src = ptr8(int(src) + 1)
        src_at = ptr8(int(src_at) + 1)
        left -= 1
    return n


@micropython.viper
def b64_message_into(src: ptr8, src_at: ptr8, n: int, around: ptr8, dst: ptr8, dst_at: int) -> int:
    chars = ptr8(B64_CHARS)
    data = int(src) + int(src_at)
    first = int(dst) + dst_at
    src = ptr8(int(around) + 2)
    src_at = ptr8(first)  # from now on the destination
    left = around[0]
    while left > 0:
        src_at[0] = src[0]
        src_at[1] = src[1]
        src_at[2] = src[2]
        src_at[3] = src[3]
        src = ptr8(int(src) + 4)
        src_at = ptr8(int(src_at) + 4)
        left -= 4
    behind = int(src)
    src = ptr8(data)
    left = n
    while left >= 12:
        a = (src[0] << 8 | src[1]) << 8 | src[2]
        src_at[0] = chars[a >> 18]
        src_at[1] = chars[a >> 12 & 63]
        src_at[2] = chars[a >> 6 & 63]
        src_at[3] = chars[a & 63]
        a = (src[3] << 8 | src[4]) << 8 | src[5]
        src_at[4] = chars[a >> 18]
        src_at[5] = chars[a >> 12 & 63]
        src_at[6] = chars[a >> 6 & 63]
        src_at[7] = chars[a & 63]
        a = (src[6] << 8 | src[7]) << 8 | src[8]
        src_at[8] = chars[a >> 18]
        src_at[9] = chars[a >> 12 & 63]
        src_at[10] = chars[a >> 6 & 63]
        src_at[11] = chars[a & 63]
        a = (src[9] << 8 | src[10]) << 8 | src[11]
        src_at[12] = chars[a >> 18]
        src_at[13] = chars[a >> 12 & 63]
        src_at[14] = chars[a >> 6 & 63]
        src_at[15] = chars[a & 63]
        src = ptr8(int(src) + 12)
        src_at = ptr8(int(src_at) + 16)
        left -= 12
    while left > 0:
        a = src[0] << 16
        if left > 1:
            a |= src[1] << 8
        if left > 2:
            a |= src[2]
        src_at[0] = chars[a >> 18]
        src_at[1] = chars[a >> 12 & 63]
        src_at[2] = chars[a >> 6 & 63] if left > 1 else _PAD
        src_at[3] = chars[a & 63] if left > 2 else _PAD
        src = ptr8(int(src) + 3)
        src_at = ptr8(int(src_at) + 4)
        left -= 3
    src = ptr8(behind)
    left = around[1]
    while left > 0:
        src_at[0] = src[0]
        src = ptr8(int(src) + 1)
        src_at = ptr8(int(src_at) + 1)
        left -= 1
    # The mask, in words once the address allows it: cheaper than a byte of the key in every step above.
    n = int(src_at) - first
    left = n
    src = ptr8(first)
    chars = ptr8(first - 4)  # the key
    a = 0
    while int(src) & 3 and left > 0:
        src[0] ^= chars[a]
        src = ptr8(int(src) + 1)
        a += 1
        left -= 1
    # From now on the key as one number; made of bytes, because it may stand at any address.
    src_at = ptr8(chars[a] | chars[a + 1 & 3] << 8 | chars[a + 2 & 3] << 16 | chars[a + 3 & 3] << 24)
    while left >= 32:
        ptr32(src)[0] = ptr32(src)[0] ^ int(src_at)
        ptr32(src)[1] = ptr32(src)[1] ^ int(src_at)
        ptr32(src)[2] = ptr32(src)[2] ^ int(src_at)
        ptr32(src)[3] = ptr32(src)[3] ^ int(src_at)
        ptr32(src)[4] = ptr32(src)[4] ^ int(src_at)
        ptr32(src)[5] = ptr32(src)[5] ^ int(src_at)
        ptr32(src)[6] = ptr32(src)[6] ^ int(src_at)
        ptr32(src)[7] = ptr32(src)[7] ^ int(src_at)
        src = ptr8(int(src) + 32)
        left -= 32
    while left > 0:
        src[0] = src[0] ^ int(src_at)
        src_at = ptr8(int(src_at) >> 8 & 0xFFFFFF | (int(src_at) & 0xFF) << 24)
        src = ptr8(int(src) + 1)
        left -= 1
    return n


@micropython.viper
def b64_decode_into(src: ptr8, src_at: ptr32, n_chars: int, dst: ptr8, dst_at: int) -> int:
    if n_chars & 3:
        return -1
    if n_chars == 0:
        return 0
    src = ptr8(int(src) + int(src_at))
    src_at = ptr32(B64_WORDS)  # from now on the table
    first = int(dst) + dst_at
    dst = ptr8(first)
    left = n_chars
    n_pads = 0
    end = int(src) + n_chars
    if ptr8(end - 1)[0] == _PAD:
        n_pads = 1
        if ptr8(end - 2)[0] == _PAD:
            n_pads = 2
        left -= 4
    # The word of an illegal character is all ones: however it is shifted, something stands above the 24 bits.
    while left >= 16:
        a = ((src_at[src[0]] << 6 | src_at[src[1]]) << 6 | src_at[src[2]]) << 6 | src_at[src[3]]
        b = ((src_at[src[4]] << 6 | src_at[src[5]]) << 6 | src_at[src[6]]) << 6 | src_at[src[7]]
        c = ((src_at[src[8]] << 6 | src_at[src[9]]) << 6 | src_at[src[10]]) << 6 | src_at[src[11]]
        d = ((src_at[src[12]] << 6 | src_at[src[13]]) << 6 | src_at[src[14]]) << 6 | src_at[src[15]]
        if (a | b | c | d) >> 24:
            break  # group by group, then
        dst[2] = a
        dst[1] = a >> 8
        dst[0] = a >> 16
        dst[5] = b
        dst[4] = b >> 8
        dst[3] = b >> 16
        dst[8] = c
        dst[7] = c >> 8
        dst[6] = c >> 16
        dst[11] = d
        dst[10] = d >> 8
        dst[9] = d >> 16
        src = ptr8(int(src) + 16)
        dst = ptr8(int(dst) + 12)
        left -= 16
    while left > 0:
        a = ((src_at[src[0]] << 6 | src_at[src[1]]) << 6 | src_at[src[2]]) << 6 | src_at[src[3]]
        if a >> 24:
            return first - 1 - int(dst)
        dst[2] = a
        dst[1] = a >> 8
        dst[0] = a >> 16
        src = ptr8(int(src) + 4)
        dst = ptr8(int(dst) + 3)
        left -= 4
    if n_pads:
        a = (src_at[src[0]] << 6 | src_at[src[1]]) << 12
        if n_pads == 1:
            a |= src_at[src[2]] << 6
        if a >> 24:
            return first - 1 - int(dst)
        dst[0] = a >> 16
        dst = ptr8(int(dst) + 1)
        if n_pads == 1:
            dst[0] = a >> 8
            dst = ptr8(int(dst) + 1)
    return int(dst) - first


@micropython.viper
def xor_mask(buf: ptr8, at: int, n: int):
    buf = ptr8(int(buf) + at)
    key = ptr8(int(buf) - 4)
    k = 0
    # Up to a word of the address; the key goes on from where that leaves it.
    while int(buf) & 3 and n > 0:
        buf[0] ^= key[k]
        buf = ptr8(int(buf) + 1)
        k += 1
        n -= 1
    # One number that serves eight words, made of bytes: the key may stand at any address.
    at = key[k] | key[k + 1 & 3] << 8 | key[k + 2 & 3] << 16 | key[k + 3 & 3] << 24
    while n >= 16:
        ptr32(buf)[0] = ptr32(buf)[0] ^ at
        ptr32(buf)[1] = ptr32(buf)[1] ^ at
        ptr32(buf)[2] = ptr32(buf)[2] ^ at
        ptr32(buf)[3] = ptr32(buf)[3] ^ at
        buf = ptr8(int(buf) + 16)
        n -= 16
    while n > 0:
        buf[0] = buf[0] ^ at
        at = at >> 8 & 0xFFFFFF | (at & 0xFF) << 24
        buf = ptr8(int(buf) + 1)
        n -= 1


@micropython.viper
def alaw_encode_into(src: ptr8, src_at: int, n_samples: int, dst: ptr8, dst_at: int) -> int:
    codes = ptr8(ALAW_CODES)
    shifts = ptr8(ALAW_SHIFTS)
    src = ptr8(int(src) + src_at)
    at = ptr8(int(dst) + dst_at)
    left = n_samples
    # Sign, segment and all that one's complement does to the code are in the tables, by the upper byte with its sign
    # inverted; the four bits that are shifted out of the rest do not know of it.
    while left >= 4:
        src_at = src[1] ^ 128
        at[0] = codes[src_at] ^ ((src_at << 8 | src[0]) >> shifts[src_at] & 15)
        src_at = src[3] ^ 128
        at[1] = codes[src_at] ^ ((src_at << 8 | src[2]) >> shifts[src_at] & 15)
        src_at = src[5] ^ 128
        at[2] = codes[src_at] ^ ((src_at << 8 | src[4]) >> shifts[src_at] & 15)
        src_at = src[7] ^ 128
        at[3] = codes[src_at] ^ ((src_at << 8 | src[6]) >> shifts[src_at] & 15)
        src = ptr8(int(src) + 8)
        at = ptr8(int(at) + 4)
        left -= 4
    while left > 0:
        src_at = src[1] ^ 128
        at[0] = codes[src_at] ^ ((src_at << 8 | src[0]) >> shifts[src_at] & 15)
        src = ptr8(int(src) + 2)
        at = ptr8(int(at) + 1)
        left -= 1
    return n_samples


@micropython.viper
def ulaw_encode_into(src: ptr8, src_at: int, n_samples: int, dst: ptr8, dst_at: int) -> int:
    codes = ptr8(ULAW_CODES)
    shifts = ptr8(ULAW_SHIFTS)
    src = ptr8(int(src) + src_at)
    at = ptr8(int(dst) + dst_at)
    left = n_samples
    while left > 0:
        src_at = src[1] << 8 | src[0]
        if src_at & 0x8000:
            src_at -= 132
            if src_at < 32768:
                src_at = 32768
        else:
            src_at += 132
            if src_at > 32767:
                src_at = 32767
        at[0] = codes[src_at >> 8] ^ (src_at >> shifts[src_at >> 8] & 15)
        src = ptr8(int(src) + 2)
        at = ptr8(int(at) + 1)
        left -= 1
    return n_samples


@micropython.viper
def expand_into(src: ptr8, src_at: ptr8, n_samples: int, dst: ptr8, dst_at: int, values: ptr16) -> int:
    src = ptr8(int(src) + int(src_at))
    dst = ptr8(int(dst) + dst_at)
    src_at = dst  # from now on the destination
    left = n_samples
    if int(src_at) & 1 == 0:
        while left >= 4:
            ptr16(src_at)[0] = values[src[0]]
            ptr16(src_at)[1] = values[src[1]]
            ptr16(src_at)[2] = values[src[2]]
            ptr16(src_at)[3] = values[src[3]]
            src = ptr8(int(src) + 4)
            src_at = ptr8(int(src_at) + 8)
            left -= 4
    while left > 0:
        value = values[src[0]]
        src_at[0] = value
        src_at[1] = value >> 8
        src = ptr8(int(src) + 1)
        src_at = ptr8(int(src_at) + 2)
        left -= 1
    while n_samples > 0:
        if (dst[0] | dst[1] << 8) + _LOUD - 1 & 0xFFFF > 2 * _LOUD - 2:
            return 1
        dst = ptr8(int(dst) + 2)
        n_samples -= 1
    return 0


@micropython.viper
def scale_into(src: ptr16, src_at: ptr16, n_samples: int, dst: ptr8, dst_at: int, gain: int) -> int:
    src = ptr16(int(src) + int(src_at))
    dst = ptr8(int(dst) + dst_at)
    src_at = ptr16(dst)  # from now on the destination
    left = n_samples
    # Unsigned samples: one load without a sign to extend; what that adds to the product is taken off with the rounding.
    offset = 2048 - (gain << 15)
    value = int(src) | int(src_at)
    if value & 3 == 0 and gain == 4096:
        while left >= 8:
            ptr32(src_at)[0] = ptr32(src)[0]
            ptr32(src_at)[1] = ptr32(src)[1]
            ptr32(src_at)[2] = ptr32(src)[2]
            ptr32(src_at)[3] = ptr32(src)[3]
            src = ptr16(int(src) + 16)
            src_at = ptr16(int(src_at) + 16)
            left -= 8
    if value & 1 == 0:
        if gain <= 4096 and int(src_at) & 3 == 0 and (int(src) ^ int(src_at)) >> 2:
            # With 16 bits of fraction the sample is the upper half of the product: stored whole it needs no shift, and
            # what falls into the place before is overwritten at once. Bits beyond the 32nd mean nothing.
            at = src
            to = src_at
            src = ptr16(gain << 4)  # what is used most, in the registers
            src_at = ptr16(offset << 4)
            while left >= 16:
                ptr32(to)[0] = (at[1] ^ 0x8000) * int(src) + int(src_at)
                to[0] = ((at[0] ^ 0x8000) * int(src) + int(src_at)) >> 16
                ptr32(to)[1] = (at[3] ^ 0x8000) * int(src) + int(src_at)
                to[2] = ((at[2] ^ 0x8000) * int(src) + int(src_at)) >> 16
                ptr32(to)[2] = (at[5] ^ 0x8000) * int(src) + int(src_at)
                to[4] = ((at[4] ^ 0x8000) * int(src) + int(src_at)) >> 16
                ptr32(to)[3] = (at[7] ^ 0x8000) * int(src) + int(src_at)
                to[6] = ((at[6] ^ 0x8000) * int(src) + int(src_at)) >> 16
                ptr32(to)[4] = (at[9] ^ 0x8000) * int(src) + int(src_at)
                to[8] = ((at[8] ^ 0x8000) * int(src) + int(src_at)) >> 16
                ptr32(to)[5] = (at[11] ^ 0x8000) * int(src) + int(src_at)
                to[10] = ((at[10] ^ 0x8000) * int(src) + int(src_at)) >> 16
                ptr32(to)[6] = (at[13] ^ 0x8000) * int(src) + int(src_at)
                to[12] = ((at[12] ^ 0x8000) * int(src) + int(src_at)) >> 16
                ptr32(to)[7] = (at[15] ^ 0x8000) * int(src) + int(src_at)
                to[14] = ((at[14] ^ 0x8000) * int(src) + int(src_at)) >> 16
                at = ptr16(int(at) + 32)
                to = ptr16(int(to) + 32)
                left -= 16
            src = at
            src_at = to
        if gain <= 4096:  # nothing can saturate
            while left >= 4:
                src_at[0] = ((src[0] ^ 0x8000) * gain + offset) >> 12
                src_at[1] = ((src[1] ^ 0x8000) * gain + offset) >> 12
                src_at[2] = ((src[2] ^ 0x8000) * gain + offset) >> 12
                src_at[3] = ((src[3] ^ 0x8000) * gain + offset) >> 12
                src = ptr16(int(src) + 8)
                src_at = ptr16(int(src_at) + 8)
                left -= 4
        while left >= 2:
            value = ((src[0] ^ 0x8000) * gain + offset) >> 12
            if value + 32768 >> 16:
                value = 32767 if value > 0 else -32768
            src_at[0] = value
            value = ((src[1] ^ 0x8000) * gain + offset) >> 12
            if value + 32768 >> 16:
                value = 32767 if value > 0 else -32768
            src_at[1] = value
            src = ptr16(int(src) + 4)
            src_at = ptr16(int(src_at) + 4)
            left -= 2
    while left > 0:
        value = (((ptr8(src)[0] | ptr8(src)[1] << 8) ^ 0x8000) * gain + offset) >> 12
        if value + 32768 >> 16:
            value = 32767 if value > 0 else -32768
        ptr8(src_at)[0] = value
        ptr8(src_at)[1] = value >> 8
        src = ptr16(int(src) + 2)
        src_at = ptr16(int(src_at) + 2)
        left -= 1
    while n_samples > 0:
        if (dst[0] | dst[1] << 8) + _LOUD - 1 & 0xFFFF > 2 * _LOUD - 2:
            return 1
        dst = ptr8(int(dst) + 2)
        n_samples -= 1
    return 0


@micropython.viper
def scale_peak(buf: ptr16, at: int, n_samples: int, gain: int, shift: int) -> int:
    address = int(buf) + at
    buf = ptr16(address)
    left = n_samples
    half = 1 << (shift - 1)
    peak = 0
    if address & 1:
        while left > 0:
            at = ptr8(buf)[0] | ptr8(buf)[1] << 8
            at = ((at - ((at & 0x8000) << 1)) * gain + half) >> shift
            if at > 32767:
                at = 32767
            elif at < -32768:
                at = -32768
            ptr8(buf)[0] = at
            ptr8(buf)[1] = at >> 8
            if at < 0:
                at = 0 - at
            if at > peak:
                peak = at
            buf = ptr16(int(buf) + 2)
            left -= 1
        return peak
    # One unsigned comparison finds out that a sample is larger than the peak, on either side of zero.
    low = 0
    window = uint(0)
    if gain == 1 << shift:
        while left > 0:
            if uint(buf[0] + low & 0xFFFF) > window:
                peak = buf[0]
                if peak & 0x8000:
                    peak = 0x10000 - peak
                low = peak
                window = uint(2 * peak)
            buf = ptr16(int(buf) + 2)
            left -= 1
        return peak
    # Unsigned samples: one load without a sign to extend; what that adds to the product is taken off with the rounding.
    half -= gain << 15
    while left >= 2:
        at = ((buf[0] ^ 0x8000) * gain + half) >> shift
        if uint(at + low) > window:
            if at > 32767:
                at = 32767
            elif at < -32768:
                at = -32768
            low = at
            if low < 0:
                low = 0 - low
            if low > peak:
                peak = low
            low = peak
            if low > 32767:
                low = 32767  # so that whatever must be saturated comes here
            window = uint(2 * low)
        buf[0] = at
        at = ((buf[1] ^ 0x8000) * gain + half) >> shift
        if uint(at + low) > window:
            if at > 32767:
                at = 32767
            elif at < -32768:
                at = -32768
            low = at
            if low < 0:
                low = 0 - low
            if low > peak:
                peak = low
            low = peak
            if low > 32767:
                low = 32767  # so that whatever must be saturated comes here
            window = uint(2 * low)
        buf[1] = at
        buf = ptr16(int(buf) + 4)
        left -= 2
    if left:
        at = ((buf[0] ^ 0x8000) * gain + half) >> shift
        if at + 32768 >> 16:
            at = 32767 if at > 0 else -32768
        buf[0] = at
        if at < 0:
            at = 0 - at
        if at > peak:
            peak = at
    return peak


@micropython.viper
def decimate2_into(src: ptr16, src_at: int, n_samples: int, dst: ptr8, dst_at: int, state: ptr16) -> int:
    codes = ptr8(ALAW_CODES)
    shifts = ptr8(ALAW_SHIFTS)
    at = ptr8(int(dst) + dst_at)
    to_alaw = state[_TO_ALAW_AT]
    done = 0
    read_at = int(src) + src_at
    left = n_samples
    while left > 0:
        n = left
        if n > 320:
            n = 320
        left -= n
        filled = state[0] + n
        src = ptr16(int(state) + 2 * (1 + state[0]))
        src_at = 0x8000
        if (int(src) | read_at) & 3 == 0:
            src_at |= src_at << 16
            while n >= 16:
                ptr32(src)[0] = ptr32(read_at)[0] ^ src_at
                ptr32(src)[1] = ptr32(read_at)[1] ^ src_at
                ptr32(src)[2] = ptr32(read_at)[2] ^ src_at
                ptr32(src)[3] = ptr32(read_at)[3] ^ src_at
                ptr32(src)[4] = ptr32(read_at)[4] ^ src_at
                ptr32(src)[5] = ptr32(read_at)[5] ^ src_at
                ptr32(src)[6] = ptr32(read_at)[6] ^ src_at
                ptr32(src)[7] = ptr32(read_at)[7] ^ src_at
                src = ptr16(int(src) + 32)
                read_at += 32
                n -= 16
        while n > 0:
            src[0] = (ptr8(read_at)[0] | ptr8(read_at)[1] << 8) ^ 0x8000
            src = ptr16(int(src) + 2)
            read_at += 2
            n -= 1
        src = ptr16(int(state) + 2)
        outputs = (filled - 33) >> 1
        done += outputs
        end = int(src) + 4 * outputs
        while end - int(src):
            # Unsigned samples: the positive taps add up to less than 2**31 at 65535 each, so no partial sum overflows.
            # From the outermost pair to the middle the signs of the taps take turns.
            src_at = (src[0] + src[34]) * 56
            src_at = (src[2] + src[32]) * 84 - src_at
            src_at = (src[4] + src[30]) * 146 - src_at
            src_at = (src[6] + src[28]) * 236 - src_at
            src_at = (src[8] + src[26]) * 368 - src_at
            src_at = (src[10] + src[24]) * 569 - src_at
            src_at = (src[12] + src[22]) * 911 - src_at
            src_at = (src[14] + src[20]) * 1657 - src_at
            src_at = (src[16] + src[18]) * 5187 - src_at
            src_at = (src[17] * 8192 + src_at - _FIR_BIAS) >> 14
            if src_at >> 16:
                src_at = 65535 if src_at > 0 else 0
            if to_alaw:
                at[0] = codes[src_at >> 8] ^ (src_at >> shifts[src_at >> 8] & 15)
                at = ptr8(int(at) + 1)
            else:
                at[0] = src_at
                at[1] = src_at >> 8 ^ 128
                at = ptr8(int(at) + 2)
            src = ptr16(int(src) + 4)
        filled -= 2 * outputs
        state[0] = filled
        dst = ptr8(int(state) + 2)
        n = filled + 1  # with one more it is an even number in the end
        while n > 0:
            ptr16(dst)[0] = src[0]
            ptr16(dst)[1] = src[1]
            dst = ptr8(int(dst) + 4)
            src = ptr16(int(src) + 4)
            n -= 2
    return done
