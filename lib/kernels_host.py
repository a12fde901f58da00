"""The kernels on CPython, fast enough to simulate an hour: binascii, wide integers, tables. Contracts in kernels_py."""

import binascii
import re
import sys
from array import array

from kernels_py import alaw_encode_into as _portable_alaw_encode_into
from kernels_py import brackets_end, string_end
from kernels_py import ulaw_encode_into as _portable_ulaw_encode_into
from kernels_tables import FIR_MIDDLE, FIR_SIDES, FIR_TAPS, LOUD_PEAK

if not hasattr(bytes, "translate") or sys.byteorder != "little":
    raise ImportError("needs CPython on a little-endian machine")

_A, _B, _C, _D, _E, _F, _G, _H, _I = FIR_SIDES
_REACH = FIR_TAPS // 2
_B64_TEXT = re.compile(b"[A-Za-z0-9+/]*")
_NAME = re.compile(rb'[\x00-\x20]*"([^"\\]*(?:\\.[^"\\]*)*)"[\x00-\x20]*:[\x00-\x20]*', re.S)


def copy_into(src, src_at, n, dst, dst_at):
    memoryview(dst).cast("B")[dst_at : dst_at + n] = bytes(memoryview(src).cast("B")[src_at : src_at + n])
    return n


def b64_message_into(src, src_at, n, around, dst, dst_at):
    head_end = 2 + around[0]
    text = binascii.b2a_base64(memoryview(src)[src_at : src_at + n], newline=False)
    message = bytes(around[2:head_end]) + text + bytes(around[head_end : head_end + around[1]])
    n = len(message)
    dst[dst_at : dst_at + n] = message
    xor_mask(dst, dst_at, n)
    return n


def b64_decode_into(src, src_at, n_chars, dst, dst_at):
    if n_chars & 3:
        return -1
    # a2b_base64 skips what is illegal, so that is looked for here.
    n_legal = _B64_TEXT.match(src, src_at, src_at + n_chars).end() - src_at
    last = bytes(memoryview(src)[src_at + n_chars - 2 : src_at + n_chars]) if n_chars else b""
    is_whole = n_legal + (2 if last == b"==" else 1 if last[1:] == b"=" else 0) == n_chars
    data = binascii.a2b_base64(memoryview(src)[src_at : src_at + (n_chars if is_whole else n_legal & ~3)])
    dst[dst_at : dst_at + len(data)] = data
    return len(data) if is_whole else ~len(data)


def xor_mask(buf, at, n):
    if not n:
        return
    repeated = (bytes(buf[at - 4 : at]) * (n // 4 + 1))[:n]
    span = memoryview(buf)[at : at + n]
    span[:] = (int.from_bytes(span, "little") ^ int.from_bytes(repeated, "little")).to_bytes(n, "little")


def _samples(buf, at, n_samples):
    return array("h", bytes(memoryview(buf).cast("B")[at : at + 2 * n_samples]))


def _store(samples, dst, dst_at):
    memoryview(dst).cast("B")[dst_at : dst_at + 2 * len(samples)] = samples.tobytes()
    return len(samples)


def _code_table(encode_into):
    """The code of every 16-bit value, in the order that an index of -32768..32767 reads them."""
    values = array("h", list(range(32768)) + list(range(-32768, 0)))
    codes = bytearray(65536)
    encode_into(values.tobytes(), 0, 65536, codes, 0)
    return bytes(codes)


_tables = {}


def _encode(name, encode_into, src, src_at, n_samples, dst, dst_at):
    codes = _tables.get(name)
    if codes is None:
        codes = _tables[name] = _code_table(encode_into)
    dst[dst_at : dst_at + n_samples] = bytes([codes[value] for value in _samples(src, src_at, n_samples)])
    return n_samples


def alaw_encode_into(src, src_at, n_samples, dst, dst_at):
    return _encode("alaw", _portable_alaw_encode_into, src, src_at, n_samples, dst, dst_at)


def ulaw_encode_into(src, src_at, n_samples, dst, dst_at):
    return _encode("ulaw", _portable_ulaw_encode_into, src, src_at, n_samples, dst, dst_at)


def _is_loud(samples):
    return 1 if samples and (max(samples) >= LOUD_PEAK or min(samples) <= -LOUD_PEAK) else 0


def expand_into(src, src_at, n_samples, dst, dst_at, values):
    codes = memoryview(src)[src_at : src_at + n_samples]
    samples = array("h", [values[code] for code in codes])
    _store(samples, dst, dst_at)
    return _is_loud(samples)


def scale_into(src, src_at, n_samples, dst, dst_at, gain):
    samples = _samples(src, src_at, n_samples)
    if gain != 4096:
        samples = array("h", _scaled(samples, gain, 12))
    _store(samples, dst, dst_at)
    return _is_loud(samples)


def _scaled(samples, gain, shift):
    half = 1 << (shift - 1)
    scaled = [value * gain + half >> shift for value in samples]
    if scaled and (max(scaled) > 32767 or min(scaled) < -32768):
        scaled = [32767 if value > 32767 else -32768 if value < -32768 else value for value in scaled]
    return scaled


def scale_peak(buf, at, n_samples, gain, shift):
    if not n_samples:
        return 0
    samples = _samples(buf, at, n_samples)
    if gain != 1 << shift:
        samples = array("h", _scaled(samples, gain, shift))
        _store(samples, buf, at)
    return max(max(samples), -min(samples))


def decimate2_into(src, src_at, n_samples, dst, dst_at, state):
    window = [value - 32768 for value in state[1 : 1 + state[0]]]
    window.extend(_samples(src, src_at, n_samples))
    samples = [_tap(window, middle) for middle in range(_REACH, len(window) - _REACH, 2)]
    left = window[2 * len(samples) :]
    state[0] = len(left)
    state[1 : 1 + len(left)] = array("H", [value + 32768 for value in left])
    if state[-1]:
        return alaw_encode_into(array("h", samples).tobytes(), 0, len(samples), dst, dst_at)
    return _store(array("h", samples), dst, dst_at)


def _tap(w, m):
    total = (
        FIR_MIDDLE * w[m]
        + _A * (w[m - 1] + w[m + 1])
        + _B * (w[m - 3] + w[m + 3])
        + _C * (w[m - 5] + w[m + 5])
        + _D * (w[m - 7] + w[m + 7])
        + _E * (w[m - 9] + w[m + 9])
        + _F * (w[m - 11] + w[m + 11])
        + _G * (w[m - 13] + w[m + 13])
        + _H * (w[m - 15] + w[m + 15])
        + _I * (w[m - 17] + w[m + 17])
        + 8192
    ) >> 14
    return 32767 if total > 32767 else -32768 if total < -32768 else total


_entries = {}  # of each `names` of json_walk: {(level, name): number} and the levels by number


def _entries_of(names):
    numbers = {}
    levels = []
    at = 0
    while names[at]:
        name_at = at + 2
        at = name_at + names[at + 1]
        numbers[names[name_at - 2], names[name_at:at]] = len(levels)
        levels.append(names[name_at - 2])
    _entries[names] = numbers, levels
    return numbers, levels


def json_walk(buf, at, end, names, state):
    while end > at and buf[end - 1] <= 32:
        end -= 1
    if end <= at or buf[end - 1] != 0x7D:
        return -3
    numbers, levels = _entries.get(names) or _entries_of(names)
    level = state[0] & 3
    is_odd = state[0] >> 2
    is_opened = level == 0
    if is_opened:
        while buf[at] <= 32:
            at += 1
        if buf[at] != 0x7B:
            return -3
        at += 1
    while True:
        if is_opened:
            level += 1
            for i in range(1, len(levels)):
                if levels[i] >= level:
                    state[2 * i] = -1
        byte = buf[at]
        while byte <= 32:
            at += 1
            byte = buf[at]
        if byte == 0x7D:
            at += 1
            level -= 1
            if at == end:
                return -3 if level else -1 - is_odd
            is_opened = False
            continue
        if not is_opened:
            if byte != 0x2C:
                return -3
            at += 1
        is_opened = False
        name = _NAME.match(buf, at, end)
        if not name:
            return -3
        at = name.end()
        text = bytes(name[1])
        wanted = numbers.get((level, text), -1)
        if wanted < 0 and b"\\" in text:
            is_odd = 1
        byte = buf[at]
        at += 1
        if byte == 0x22:
            if wanted > 0:
                state[2 * wanted] = at
                if wanted == state[1]:
                    state[0] = is_odd << 2 | level
                    return at
            quote = buf.find(b'"', at, end)
            if quote < 0 or (buf[quote - 1] == 0x5C and (quote := string_end(buf, at, end)) < 0):
                return -3
            if wanted > 0:
                state[2 * wanted + 1] = quote - at
                if buf.find(b"\\", at, quote) >= 0:
                    is_odd = 1
            at = quote + 1
            continue
        if byte == 0x2C or byte == 0x3A or byte & 0xDF == 0x5D:
            return -3
        if wanted > 0:
            state[2 * wanted] = -1
        if byte == 0x7B and wanted == 0:
            is_opened = True
        elif byte & 0xDF == 0x5B:
            at = brackets_end(buf, at, end)
            if at < 0 or at >= end:
                return -3
        else:
            while buf[at] > 0x22 and buf[at] != 0x2C and buf[at] & 0xDF != 0x5D:
                at += 1
