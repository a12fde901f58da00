"""One tone among others: its amplitude, and nothing of its neighbours."""

from array import array
from math import pi, sin

import goertzel

RATE_HZ = 16_000
N = 2048


def tone(hz, peak, phase=0.0):
    return array("h", [int(peak * sin(2 * pi * hz * i / RATE_HZ + phase)) for i in range(N)])


def test_a_tone_has_its_own_amplitude_whatever_its_phase():
    for hz in (312.5, 500, 1000, 3000):
        for phase in (0.0, 1.0, 2.5):
            assert abs(goertzel.amplitude(tone(hz, 9000, phase), N, hz, RATE_HZ) - 9000) < 20, (hz, phase)


def test_a_neighbour_of_whole_periods_is_not_heard():
    assert goertzel.amplitude(tone(1000, 9000), N, 2000, RATE_HZ) < 2
    assert goertzel.amplitude(tone(500, 9000), N, 312.5, RATE_HZ) < 2


def test_silence_has_none():
    assert goertzel.amplitude(array("h", bytes(2 * N)), N, 1000, RATE_HZ) == 0
