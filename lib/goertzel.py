"""The strength of one tone in a piece of sound, without a whole spectrum (Goertzel's algorithm)."""

from math import cos, pi, sqrt


def amplitude(samples, n, tone_hz, rate_hz):
    """The amplitude of the tone tone_hz among the first n of `samples` (signed integers, array('h') for instance).

    A pure tone of that frequency gives its own amplitude; exact when n holds whole periods of it.
    """
    doubled_cos = 2 * cos(2 * pi * tone_hz / rate_hz)
    before = last = 0.0
    for i in range(n):
        before, last = last, samples[i] + doubled_cos * last - before
    power = before * before + last * last - doubled_cos * before * last
    return 2 * sqrt(max(0.0, power)) / n
