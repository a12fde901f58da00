"""The simulation's numpy kernels are the device's, to the bit: compared with the portable ones on noise."""

import random

import kernels_py
import pytest
from kernels_tables import ALAW_VALUES, ULAW_VALUES, decimate2_state

from tools.storm import fast_kernels

CHANCE = random.Random(7)


def noise(n_bytes):
    return bytearray(CHANCE.randbytes(n_bytes))


@pytest.mark.parametrize("gain", [0, 1, 1024, 2007, 4095, 4096, 4097, 9216, 32767])
def test_scaling(gain):
    for n, at in ((0, 0), (1, 3), (256, 0), (77, 5)):
        src = noise(2 * n + 16)
        results = []
        for kernels in (kernels_py, fast_kernels):
            dst = bytearray(len(src))
            results.append((kernels.scale_into(src, at, n, dst, at, gain), dst))
            copy = bytearray(src)
            results[-1] += (kernels.scale_peak(copy, at, n, gain, 8), copy)
        assert results[0] == results[1]


@pytest.mark.parametrize("name", ["alaw", "ulaw"])
def test_g711(name):
    src = b"".join(i.to_bytes(2, "little") for i in range(65536))
    codes = [bytearray(65536), bytearray(65536)]
    values = ALAW_VALUES if name == "alaw" else ULAW_VALUES
    sounds = [bytearray(600), bytearray(600)]
    louds = []
    for i, kernels in enumerate((kernels_py, fast_kernels)):
        assert getattr(kernels, name + "_encode_into")(src, 0, 65536, codes[i], 0) == 65536
        louds.append(kernels.expand_into(codes[0], 1000, 256, sounds[i], 8, values))
    assert codes[0] == codes[1] and sounds[0] == sounds[1] and louds[0] == louds[1]


def test_decimation_however_the_stream_is_cut():
    states = [decimate2_state(), decimate2_state()]
    for n in (320, 1, 3, 0, 160, 161, 320, 2, 640, 17):
        src = noise(2 * n)
        out = [bytearray(2 * n + 8), bytearray(2 * n + 8)]
        written = [
            kernels.decimate2_into(src, 0, n, out[i], 4, states[i])
            for i, kernels in enumerate((kernels_py, fast_kernels))
        ]
        assert written[0] == written[1] and out[0] == out[1]
        assert states[0][: states[0][0] + 1] == states[1][: states[1][0] + 1]
