"""The gate: one pure object, asked about instants."""

from firmware.audio.gate import Gate
from firmware.compat import ticks_add


def test_nothing_was_ever_played_so_the_gate_is_open():
    gate = Gate(False, 250)
    assert not gate.is_closed(0) and not gate.is_audible(0)


def test_it_is_closed_until_the_tail_is_over_to_the_millisecond():
    gate = Gate(False, 250)
    gate.sound_until(1000)
    assert gate.is_audible(999) and not gate.is_audible(1000)
    assert gate.is_closed(500) and gate.is_closed(1249)
    assert not gate.is_closed(1250)


def test_the_last_word_about_the_end_counts():
    gate = Gate(False, 100)
    gate.sound_until(1000)
    gate.sound_until(1500)
    assert gate.is_closed(1599) and not gate.is_closed(1600)


def test_recalled_sound_leaves_the_tail_only():
    gate = Gate(False, 250)
    gate.silence_from(5)
    assert not gate.is_closed(6)
    gate.sound_until(1000)
    gate.silence_from(400)
    assert not gate.is_audible(400)
    assert gate.is_closed(649) and not gate.is_closed(650)
    gate.sound_until(700)
    gate.silence_from(800)  # it had ended before
    assert not gate.is_closed(950)


def test_a_duplex_board_keeps_its_microphone_open_and_still_knows_what_is_audible():
    gate = Gate(True, 250)
    gate.sound_until(1000)
    assert not gate.is_closed(500) and gate.is_audible(500)


def test_neither_the_wrap_of_the_clock_nor_a_week_of_silence_closes_it_again():
    gate = Gate(False, 250)
    gate.sound_until(ticks_add(0, -100))
    assert gate.is_closed(ticks_add(0, 149))
    assert not gate.is_closed(ticks_add(0, 150))
    now_ms = 150
    for day in range(30):  # the 32-bit clock comes around in 12.4 days
        now_ms = ticks_add(now_ms, 86_400_000)
        assert not gate.is_closed(now_ms) and not gate.is_audible(now_ms), day
