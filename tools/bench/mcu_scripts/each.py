"""Every native kernel on 20 ms of sound: first compared with the portable one on this very machine, then counted."""

import delta
import kernels_json_viper
import kernels_py
import kernels_tables
import kernels_viper
from counter import count
from json_scan import JSONScan


def noise(n):
    data = bytearray(n)
    state = 12345
    for i in range(n):
        state = (state * 75 + 74) % 65537
        data[i] = state & 0xFF
    return data


def rows():
    """(name, instructions, "" or how it differs from the portable kernel)"""
    pcm = noise(960)
    codes = noise(160)
    text = bytearray(4) + bytearray(1280)
    kernels_py.b64_message_into(pcm, 0, 960, bytes(2), text, 4)
    text = text[4:]
    around = bytes([68, 3]) + bytes(range(71))

    def check(name, call):
        for at in range(4):
            ours = bytearray(2000)
            theirs = bytearray(2000)
            if call(kernels_viper, ours, at) != call(kernels_py, theirs, at) or ours != theirs:
                return "differs at offset %d" % at
        return ""

    def masked(kernel, dst, at):
        dst[at : at + 934] = pcm[:934]
        return kernel.xor_mask(dst, at + 4, 930)

    def message(n):
        def call(kernel, dst, at):
            dst[at : at + 4] = pcm[:4]  # the mask key
            return kernel.b64_message_into(pcm, 0, n, around, dst, at + 4)

        return call, lambda: kernels_viper.b64_message_into(pcm, 0, n, around, dst, 14)

    def amplified(kernel, dst, at):
        dst[at : at + 640] = pcm[:640]
        return kernel.scale_peak(dst, at, 320, 1024, 8)

    # A call with six arguments inside of a call with three would take its frame from the heap, and that would count: so
    # these two are checked by one function and counted by another.
    def played(gain):
        return lambda k, d, at: k.scale_into(pcm, 0, 480, d, at, gain), lambda: volume(pcm, 0, 480, dst, 0, gain)

    volume = kernels_viper.scale_into
    expand = kernels_viper.expand_into

    def expanded(values):
        checked = lambda k, d, at: k.expand_into(codes, 0, 160, d, at, values)  # noqa: E731
        return checked, lambda: expand(codes, 0, 160, dst, 0, values)

    def decimated(kernel, dst, at):
        return kernel.decimate2_into(pcm, 0, 320, dst, at, kernels_tables.decimate2_state(True))

    event = delta.message(codes)
    scan = JSONScan((b"event_type",), b"data", (b"content", b"chat_id"))
    behind = event.find(b'"', len(delta.HEAD)) + 1

    def walked(kernel, dst, at):
        """To the content of an audio event, and on behind it."""
        state = scan.state
        state[0] = 0
        state[1] = 2
        dst[at : at + len(event)] = event
        json_walk = kernels_py.json_walk if kernel is kernels_py else kernels_json_viper.json_walk
        first = json_walk(dst, at, at + len(event), scan.names, state)
        return first, json_walk(dst, at + behind, at + len(event), scan.names, state), tuple(state)

    def walk():
        scan.state[0] = 0
        kernels_json_viper.json_walk(event, 0, len(event), scan.names, scan.state)
        kernels_json_viper.json_walk(event, behind, len(event), scan.names, scan.state)

    state = kernels_tables.decimate2_state(True)
    dst = bytearray(2000)
    buf = bytearray(pcm)

    def again():
        buf[:] = pcm

    calls = (
        ("copy 640", lambda k, d, at: k.copy_into(pcm, 4, 640, d, at), None),
        ("copy 960 to an odd place", lambda k, d, at: k.copy_into(pcm, 0, 960, d, 1 + at), None),
        ("copy 960", lambda k, d, at: k.copy_into(pcm, 0, 960, d, at), None),
        ("copy 160", lambda k, d, at: k.copy_into(pcm, 0, 160, d, at), None),
        ("base64 message 640",) + message(640),
        ("base64 message 160",) + message(160),
        ("base64 decode 960", lambda k, d, at: k.b64_decode_into(text, 0, 1280, d, at), None),
        ("base64 decode 160", lambda k, d, at: k.b64_decode_into(text, 0, 216, d, at), None),
        ("mask 930", masked, lambda: kernels_viper.xor_mask(buf, 14, 930)),
        ("A-law encode 160", lambda k, d, at: k.alaw_encode_into(pcm, 0, 160, d, at), None),
        ("mu-law encode 160", lambda k, d, at: k.ulaw_encode_into(pcm, 0, 160, d, at), None),
        ("A-law decode 160",) + expanded(kernels_tables.ALAW_VALUES),
        ("mu-law decode 160",) + expanded(kernels_tables.ULAW_VALUES),
        ("decimate 320 to A-law", decimated, lambda: kernels_viper.decimate2_into(pcm, 0, 320, dst, 0, state)),
        ("gain 4 and level 320", amplified, lambda: kernels_viper.scale_peak(buf, 0, 320, 1024, 8)),
        ("volume 70 % 480",) + played(2008),
        ("volume 100 % 480",) + played(4096),
        ("volume 150 % 480",) + played(9216),
        ("JSON walk", walked, walk),
    )
    for name, call, step in calls:
        trouble = check(name, call)
        if step is None:
            step = _bound(call, dst)
        n = 0 if trouble else count(step, again)
        yield name, n * 20 // delta.MS if step is walk else n, trouble


def _bound(call, dst):
    return lambda: call(kernels_viper, dst, 0)
