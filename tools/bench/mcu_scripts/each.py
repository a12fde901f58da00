"""Every native kernel on 20 ms of sound: first compared with the portable one on this very machine, then counted."""

import kernels_py
import kernels_tables
import kernels_viper
from counter import count


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
    text = bytearray(1280)
    kernels_py.b64_encode_into(pcm, 0, 960, text, 0)
    key = b"\x12\x9a\x56\xfe"

    def check(name, call):
        for at in range(4):
            ours = bytearray(2000)
            theirs = bytearray(2000)
            if call(kernels_viper, ours, at) != call(kernels_py, theirs, at) or ours != theirs:
                return "%s at offset %d differs" % (name, at)
        return ""

    def masked(kernel, dst, at):
        dst[at : at + 930] = pcm[:930]
        return kernel.xor_mask(dst, at, 930, key)

    def scaled(gain):
        def call(kernel, dst, at):
            dst[at : at + 640] = pcm[:640]
            return kernel.scale_peak(dst, at, 320, gain, 8)

        return call

    state = kernels_tables.decimate2_state()

    def decimated(kernel, dst, at):
        return kernel.decimate2_into(pcm, 0, 320, dst, at, kernels_tables.decimate2_state())

    dst = bytearray(2000)
    buf = bytearray(pcm)

    def again():
        buf[:] = pcm

    calls = (
        ("copy 640 B", lambda k, d, at: k.copy_into(pcm, 4, 640, d, at), None),
        ("base64 encode 640 B", lambda k, d, at: k.b64_encode_into(pcm, 0, 640, d, at), None),
        ("base64 encode and mask 640 B", lambda k, d, at: k.b64_mask_into(pcm, 0, 640, d, 8 + at, key, 3), None),
        ("base64 decode 960 B", lambda k, d, at: k.b64_decode_into(text, 0, 1280, d, at), None),
        ("mask 930 B", masked, lambda: kernels_viper.xor_mask(buf, 0, 930, key)),
        ("A-law encode 160", lambda k, d, at: k.alaw_encode_into(pcm, 0, 160, d, at), None),
        ("mu-law encode 160", lambda k, d, at: k.ulaw_encode_into(pcm, 0, 160, d, at), None),
        ("A-law decode 160", lambda k, d, at: k.alaw_decode_into(codes, 0, 160, d, at), None),
        ("mu-law decode 160", lambda k, d, at: k.ulaw_decode_into(codes, 0, 160, d, at), None),
        ("decimate 320", decimated, lambda: kernels_viper.decimate2_into(pcm, 0, 320, dst, 0, state)),
        ("gain 4 and peak 320", scaled(1024), lambda: kernels_viper.scale_peak(buf, 0, 320, 1024, 8)),
        ("gain 0.5 and peak 320", scaled(128), lambda: kernels_viper.scale_peak(buf, 0, 320, 128, 8)),
        ("peak only 320", scaled(256), lambda: kernels_viper.scale_peak(buf, 0, 320, 256, 8)),
    )
    for name, call, step in calls:
        try:
            trouble = check(name, call)
        except AttributeError:
            continue
        if step is None:
            step = _bound(call, dst)
        yield name, 0 if trouble else count(step, again), trouble


def _bound(call, dst):
    return lambda: call(kernels_viper, dst, 0)
