"""The kernels in plain Python: portable, without allocation on MicroPython, slow. The contracts stand here.

Buffers are bytes, bytearray, memoryview or array (destinations: the writable ones). Every `_at` is an offset in
bytes and may be odd; samples are signed 16-bit little-endian. Nothing beyond the stated span is read or written.
Source and destination must not overlap unless it says so.
"""

from kernels_tables import (
    B64_CHARS,
    B64_WORDS,
    BIT_LENGTH,
    DECIMATE_CHUNK,
    FIR_MIDDLE,
    FIR_SIDES,
    FIR_TAPS,
    LOUD_PEAK,
)

_PAD = 61  # "="


def copy_into(src, src_at, n, dst, dst_at):
    """Copy n bytes. Within one buffer dst_at <= src_at is allowed. Returns n."""
    for i in range(n):
        dst[dst_at + i] = src[src_at + i]
    return n


def _b64_encode_into(src, src_at, n, dst, dst_at):
    """n bytes to base64 with padding. Returns the characters written, 4 * ((n + 2) // 3)."""
    chars = B64_CHARS
    at = dst_at
    i = src_at
    whole_end = src_at + n - n % 3
    while i < whole_end:
        a = src[i]
        b = src[i + 1]
        c = src[i + 2]
        dst[at] = chars[a >> 2]
        dst[at + 1] = chars[(a & 3) << 4 | b >> 4]
        dst[at + 2] = chars[(b & 15) << 2 | c >> 6]
        dst[at + 3] = chars[c & 63]
        i += 3
        at += 4
    rest = n % 3
    if rest:
        a = src[i]
        b = src[i + 1] if rest == 2 else 0
        dst[at] = chars[a >> 2]
        dst[at + 1] = chars[(a & 3) << 4 | b >> 4]
        dst[at + 2] = chars[(b & 15) << 2] if rest == 2 else _PAD
        dst[at + 3] = _PAD
        at += 4
    return at - dst_at


def b64_message_into(src, src_at, n, around, dst, dst_at):
    """A text around n bytes in base64, with padding, masked as by xor_mask with the 4 bytes before dst_at. Returns the
    bytes written.

    around   [0] bytes of the text before, a multiple of 4; [1] bytes of the text behind; then the two texts
    """
    at = dst_at + copy_into(around, 2, around[0], dst, dst_at)
    at += _b64_encode_into(src, src_at, n, dst, at)
    at += copy_into(around, 2 + around[0], around[1], dst, at)
    xor_mask(dst, dst_at, at - dst_at)
    return at - dst_at


def b64_decode_into(src, src_at, n_chars, dst, dst_at):
    """n_chars of padded base64 to bytes. Within one buffer dst_at <= src_at is allowed. Returns the bytes written.

    ~n, which is negative, when n_chars is no multiple of 4 (n = 0) or a character is illegal, white space and inner
    padding included: the n bytes of the groups of four before it were written, and no more. So text whose end is not
    known can be decoded up to the quote behind it. Bits that padding leaves over are ignored.
    """
    if n_chars & 3:
        return -1
    if not n_chars:
        return 0
    values = B64_WORDS
    end = src_at + n_chars
    n_pads = 0
    if src[end - 1] == _PAD:
        n_pads = 2 if src[end - 2] == _PAD else 1
    at = dst_at
    i = src_at
    whole_end = end - 4 if n_pads else end
    while i < whole_end:
        a = values[src[i]]
        b = values[src[i + 1]]
        c = values[src[i + 2]]
        d = values[src[i + 3]]
        if (a | b | c | d) < 0:
            return ~(at - dst_at)
        dst[at] = a << 2 | b >> 4
        dst[at + 1] = (b & 15) << 4 | c >> 2
        dst[at + 2] = (c & 3) << 6 | d
        i += 4
        at += 3
    if n_pads:
        a = values[src[i]]
        b = values[src[i + 1]]
        c = values[src[i + 2]] if n_pads == 1 else 0
        if (a | b | c) < 0:
            return ~(at - dst_at)
        dst[at] = a << 2 | b >> 4
        at += 1
        if n_pads == 1:
            dst[at] = (b & 15) << 4 | c >> 2
            at += 1
    return at - dst_at


def xor_mask(buf, at, n):
    """XOR n bytes in place with the 4 bytes that stand before them, repeated, as in a WebSocket frame."""
    for i in range(n):
        buf[at + i] ^= buf[at - 4 + (i & 3)]


def alaw_encode_into(src, src_at, n_samples, dst, dst_at):
    """Samples to G.711 A-law, one byte each, the upper 12 bits decide (ITU-T G.711, G.191). Returns n_samples."""
    i = src_at
    for at in range(dst_at, dst_at + n_samples):
        dst[at] = _alaw_code(src[i] | src[i + 1] << 8)
        i += 2
    return n_samples


def _alaw_code(value):
    """Of a sample, signed or not."""
    if value & 0x8000:
        magnitude = (value & 0xFFFF ^ 0xFFFF) >> 4
        code = 0x55
    else:
        magnitude = value >> 4
        code = 0xD5
    segment = BIT_LENGTH[magnitude >> 4]
    if segment:
        magnitude = segment << 4 | magnitude >> (segment - 1) & 15
    return magnitude ^ code


def ulaw_encode_into(src, src_at, n_samples, dst, dst_at):
    """Samples to G.711 mu-law, one byte each, the upper 14 bits decide (ITU-T G.711, G.191). Returns n_samples."""
    lengths = BIT_LENGTH
    i = src_at
    for at in range(dst_at, dst_at + n_samples):
        value = src[i] | src[i + 1] << 8
        i += 2
        if value & 0x8000:
            magnitude = ((value ^ 0xFFFF) >> 2) + 33
            code = 0x7F
        else:
            magnitude = (value >> 2) + 33
            code = 0xFF
        if magnitude > 8191:
            magnitude = 8191
        segment = lengths[magnitude >> 6]
        dst[at] = (segment << 4 | magnitude >> (segment + 1) & 15) ^ code
    return n_samples


def expand_into(src, src_at, n_samples, dst, dst_at, values):
    """Bytes to samples by a table of 256, array("h"): ALAW_VALUES, ULAW_VALUES or such a table with a volume in it.

    Returns 1 when a sample reaches LOUD_PEAK, else 0.
    """
    is_loud = 0
    at = dst_at
    for i in range(src_at, src_at + n_samples):
        value = values[src[i]]
        dst[at] = value & 0xFF
        dst[at + 1] = value >> 8 & 0xFF
        at += 2
        if not -LOUD_PEAK < value < LOUD_PEAK:
            is_loud = 1
    return is_loud


def scale_into(src, src_at, n_samples, dst, dst_at, gain):
    """Samples times gain / 4096, gain 0..32767, rounded to nearest, saturating. In place is allowed (dst_at == src_at).

    Returns 1 when a sample reaches LOUD_PEAK after the gain, else 0.
    """
    is_loud = 0
    at = dst_at
    for i in range(src_at, src_at + 2 * n_samples, 2):
        value = src[i] | src[i + 1] << 8
        if value & 0x8000:
            value -= 0x10000
        value = value * gain + 2048 >> 12
        if value > 32767:
            value = 32767
        elif value < -32768:
            value = -32768
        dst[at] = value & 0xFF
        dst[at + 1] = value >> 8 & 0xFF
        at += 2
        if not -LOUD_PEAK < value < LOUD_PEAK:
            is_loud = 1
    return is_loud


def scale_peak(buf, at, n_samples, gain, shift):
    """Multiply samples in place by gain / 2**shift, rounded to nearest, saturating. Returns the largest magnitude.

    gain 0..32767, shift 1..14; the peak is 0..32768, after the gain. gain == 1 << shift changes nothing and only
    looks for the peak.
    """
    half = 1 << (shift - 1)
    peak = 0
    for i in range(at, at + 2 * n_samples, 2):
        value = buf[i] | buf[i + 1] << 8
        if value & 0x8000:
            value -= 0x10000
        value = value * gain + half >> shift
        if value > 32767:
            value = 32767
        elif value < -32768:
            value = -32768
        buf[i] = value & 0xFF
        buf[i + 1] = value >> 8 & 0xFF
        if value < 0:
            value = -value
        if value > peak:
            peak = value
    return peak


def decimate2_into(src, src_at, n_samples, dst, dst_at, state):
    """Low-pass and keep every second sample: 16 kHz to 8 kHz, 0-3.4 kHz kept. Returns the samples written.

    state comes from decimate2_state() and belongs to one stream of sound: however the stream is cut into calls, odd
    counts included, the output is the same. A stream of n samples gives n // 2. In place is allowed (dst_at <= src_at).
    A state that was made to_alaw gives A-law codes of one byte, as alaw_encode_into would of the samples.
    """
    done = 0
    written = 0
    while done < n_samples:
        n = n_samples - done
        if n > DECIMATE_CHUNK:
            n = DECIMATE_CHUNK
        filled = state[0]
        i = src_at + 2 * done
        for at in range(filled + 1, filled + 1 + n):
            state[at] = (src[i] | src[i + 1] << 8) ^ 0x8000
            i += 2
        written += _decimate_window(state, filled + n, dst, dst_at, written)
        done += n
    return written


def _decimate_window(state, filled, dst, dst_at, index):
    """Filter the window, keep its rest as history; the first output is sample `index` of dst. Returns how many."""
    first = index
    middle = 1 + FIR_TAPS // 2
    last_middle = filled - FIR_TAPS // 2
    while middle <= last_middle:
        total = FIR_MIDDLE * (state[middle] - 32768) + 8192
        distance = 1
        for factor in FIR_SIDES:
            # Pair by pair with the offset taken off at once: no sum leaves the 30 bits of a small integer.
            total += factor * (state[middle - distance] + state[middle + distance] - 65536)
            distance += 2
        total >>= 14
        if total > 32767:
            total = 32767
        elif total < -32768:
            total = -32768
        if state[-1]:
            dst[dst_at + index] = _alaw_code(total)
        else:
            dst[dst_at + 2 * index] = total & 0xFF
            dst[dst_at + 2 * index + 1] = total >> 8 & 0xFF
        index += 1
        middle += 2
    used = middle - 1 - FIR_TAPS // 2
    left = filled - used
    for i in range(1, 1 + left):
        state[i] = state[used + i]
    state[0] = left
    return index - first


def json_walk(buf, at, end, names, state):
    """Find some string members of one JSON object in buf[at:end]. json_scan makes `names` and `state` and reads them.

    names  entries, each [level: 1 top object, 2 the nested one][length] name, and a 0. Entry 0 is, at level 1, the
           member whose object is the nested one; names have no character that JSON escapes.
    state  array of "i": [0] 0 for a new walk (later: how to go on), [1] entry to stop at, 0 for none, then of each
           entry i > 0: [2 * i] where its string begins, -1 for none, and its length. The last of its name counts.
    Returns -1: one whole object. -2: the same, but a backslash stands in a name or in a wanted string: only a parser
    can tell. -3: not one object. Otherwise the walk stands at the first character of the entry to stop at, a string
    that was not looked into; it can be gone on with behind the closing quote.
    Strings may hold anything; of values that nobody wants only the extent is found, so this is no validator.
    """
    while end > at and buf[end - 1] <= 32:
        end -= 1
    if end <= at or buf[end - 1] != 0x7D:
        return -3
    # The last byte is the closing brace: it ends white space and numbers, so only what may run over it looks out.
    level = state[0] & 3
    is_odd = state[0] >> 2
    is_opened = level == 0
    if is_opened:
        at = _skip_space(buf, at)
        if buf[at] != 0x7B:
            return -3
        at += 1
    while True:
        if is_opened:
            level += 1
            _forget(names, level, state)
        at = _skip_space(buf, at) + 1
        byte = buf[at - 1]
        if byte == 0x7D:
            level -= 1
            if at == end:
                return -3 if level else -1 - is_odd
            is_opened = False
            continue
        if not is_opened:
            if byte != 0x2C:
                return -3
            at = _skip_space(buf, at) + 1
            byte = buf[at - 1]
        is_opened = False
        if byte != 0x22:
            return -3
        start = at
        at = string_end(buf, at, end) + 1
        if not at:
            return -3
        if buf.find(b"\\", start, at) >= 0:
            is_odd = 1
        wanted = _entry(buf, start, at - 1, names, level)
        at = _skip_space(buf, at)
        if buf[at] != 0x3A:
            return -3
        start = at = _skip_space(buf, at + 1) + 1
        byte = buf[at - 1]
        if byte == 0x22:
            if wanted > 0:
                state[2 * wanted] = start
                if wanted == state[1]:
                    state[0] = is_odd << 2 | level
                    return start
            at = string_end(buf, at, end) + 1
            if not at:
                return -3
            if wanted > 0:
                state[2 * wanted + 1] = at - 1 - start
                if buf.find(b"\\", start, at) >= 0:
                    is_odd = 1
            continue
        if byte == 0x2C or byte == 0x3A or byte & 0xDF == 0x5D:
            return -3
        if wanted > 0:
            state[2 * wanted] = -1
        if byte == 0x7B and wanted == 0:
            is_opened = True
        elif byte & 0xDF == 0x5B:  # either opening bracket
            at = brackets_end(buf, at, end)
            if at < 0 or at >= end:
                return -3
        else:
            while buf[at] > 0x22 and buf[at] != 0x2C and buf[at] & 0xDF != 0x5D:
                at += 1


def _skip_space(buf, at):
    while buf[at] <= 32:
        at += 1
    return at


def brackets_end(buf, at, end):
    """Index behind the bracket that closes the one before `at`, or -1."""
    depth = 1
    while depth:
        if at >= end:
            return -1
        byte = buf[at]
        at += 1
        if byte == 0x22:
            at = string_end(buf, at, end) + 1
            if not at:
                return -1
        elif byte & 0xDF == 0x5B:
            depth += 1
        elif byte & 0xDF == 0x5D:
            depth -= 1
    return at


def _forget(names, level, state):
    """Nothing has been found yet at this level and below it."""
    at = 2 + names[1]
    i = 2
    while names[at]:
        if names[at] >= level:
            state[i] = -1
        at += 2 + names[at + 1]
        i += 2


def _entry(buf, start, end, names, level):
    """Which entry of `names` this name is, or -1."""
    n = end - start
    at = 0
    i = 0
    while names[at]:
        if names[at + 1] == n and names[at] == level:
            k = 0
            while k < n and names[at + 2 + k] == buf[start + k]:
                k += 1
            if k == n:
                return i
        at += 2 + names[at + 1]
        i += 1
    return -1


def string_end(buf, at, end):
    """Index of the quote that ends the string whose first character is at `at`, or -1."""
    start = at
    while True:
        quote = buf.find(b'"', at, end)
        if quote < 0:
            return -1
        back = quote
        while back > start and buf[back - 1] == 0x5C:
            back -= 1
        if (quote - back) & 1 == 0:
            return quote
        at = quote + 1
