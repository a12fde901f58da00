"""Waits between attempts: soon first, doubling, spread by chance, and patient where only a person can help."""

from check import seeded_bytes
from firmware import errors
from firmware.net.retry import Backoff


def delays(kind, n, random_bytes, min_ms=300, max_ms=60000):
    backoff = Backoff(min_ms, max_ms, random_bytes)
    return [backoff.delay_ms(kind) for _ in range(n)]


def highest(n):
    return b"\0" * n  # no chance drawn off: the whole span


def lowest(n):
    return b"\xff" * n


def test_a_lost_connection_is_tried_again_within_a_second():
    for kind in (errors.CONNECT, errors.TIMEOUT, errors.WIFI, errors.DNS, errors.TLS, errors.PROTOCOL):
        assert delays(kind, 1, highest, min_ms=5000)[0] == 1000
        assert 0 < delays(kind, 1, lowest)[0] <= 1000


def test_the_wait_doubles_up_to_the_longest():
    assert delays(errors.CONNECT, 10, highest) == [300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 60000, 60000]


def test_chance_takes_off_up_to_half():
    low = delays(errors.CONNECT, 9, lowest)
    high = delays(errors.CONNECT, 9, highest)
    for i in range(9):
        assert high[i] // 2 <= low[i] <= high[i] // 2 + 2
    some = delays(errors.CONNECT, 50, seeded_bytes(3))[8:]
    assert min(some) >= 30000 and max(some) <= 60000 and len(set(some)) > 30


def test_a_working_connection_starts_anew():
    backoff = Backoff(300, 60000, highest)
    for _ in range(6):
        backoff.delay_ms(errors.CONNECT)
    backoff.reset()
    assert backoff.delay_ms(errors.CONNECT) == 300


def test_what_only_a_person_can_change_waits_longest():
    network = max(delays(errors.CONNECT, 20, highest))
    for kind in (errors.TOKEN, errors.REFUSED, errors.AGENT, errors.CONFIG):
        assert min(delays(kind, 5, lowest)) > network


def test_a_busy_cloud_is_spared():
    assert delays(errors.BUSY, 3, highest) == [2400, 4800, 9600]


def test_many_failures_keep_the_numbers_small():
    backoff = Backoff(300, 60000, highest)
    for _ in range(3000):
        assert backoff.delay_ms(errors.CONNECT) <= 60000
