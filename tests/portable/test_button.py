"""Edges of a real, bouncing button: acted on at once, each exactly once."""

from check import Clock, assert_no_allocation

from firmware.drivers.button import DOWN, UP, Button, Repeater


class Pin:
    """A pin whose level is set, or played from `levels`, one per reading."""

    def __init__(self, level=1):
        self.level = level
        self.levels = []

    def value(self):
        if self.levels:
            self.level = self.levels.pop(0)
        return self.level


def edges(wave, active_low=True, poll_ms=1, start_ms=0, kind=Button):
    """wave: [(ms, level)]; returns [(ms, edge)] of a button that is polled every poll_ms."""
    clock = Clock(start_ms)
    pin = Pin(wave[0][1])
    button = kind(pin, clock.ticks_ms, active_low)
    seen = []
    for ms in range(0, wave[-1][0] + 200, poll_ms):
        for at, level in wave:
            if at <= ms:
                pin.level = level
        edge = button.poll()
        if edge:
            seen.append((ms, edge))
        clock.advance(poll_ms)
    return seen


def test_a_clean_press():
    assert edges([(0, 1), (50, 0), (300, 1)]) == [(50, DOWN), (300, UP)]
    assert edges([(0, 0), (50, 1), (300, 0)], active_low=False) == [(50, DOWN), (300, UP)]


def test_the_first_contact_acts_and_the_bouncing_does_not():
    bounce = [(0, 1), (50, 0), (51, 1), (53, 0), (56, 1), (58, 0), (300, 1), (302, 0), (305, 1), (309, 0), (312, 1)]
    assert edges(bounce) == [(50, DOWN), (300, UP)]


def test_the_ticks_wrap_during_the_bouncing():
    bounce = [(0, 1), (50, 0), (51, 1), (58, 0), (300, 1), (302, 0), (312, 1)]
    for start_ms in (-50, -51, -55, -60, -305):
        assert edges(bounce, start_ms=start_ms) == [(50, DOWN), (300, UP)], start_ms


def test_every_pattern_of_bouncing_gives_one_edge():
    for pattern in range(1 << 9):
        wave = [(0, 1), (50, 0)]
        for bit in range(9):
            wave.append((52 + 2 * bit, pattern >> bit & 1))
        wave += [(69, 0), (300, 1)]
        assert edges(wave) == [(50, DOWN), (300, UP)], pattern


def test_a_press_shorter_than_the_lock_out_is_reported_whole():
    assert edges([(0, 1), (50, 0), (58, 1)]) == [(50, DOWN), (70, UP)]


def test_a_level_that_cannot_be_read_twice_is_no_press():
    clock = Clock()
    pin = Pin(1)
    button = Button(pin, clock.ticks_ms)
    pin.levels = [0, 1]
    assert button.poll() == 0
    pin.levels = [0, 0, 1]
    assert button.poll() == 0
    pin.levels = [0, 0, 0]
    assert button.poll() == DOWN


def test_a_button_held_at_the_start_must_come_up_first():
    assert edges([(0, 0), (100, 1), (200, 0)]) == [(100, UP), (200, DOWN)]


def test_after_days_of_silence_a_press_still_acts():
    clock = Clock()
    pin = Pin(1)
    button = Button(pin, clock.ticks_ms)
    pin.level = 0
    assert button.poll() == DOWN
    clock.advance(20)
    pin.level = 1
    assert button.poll() == UP
    clock.advance(20)
    assert button.poll() == 0
    clock.advance((1 << 29) - 1000)  # beyond this, a difference of ticks is negative on a 32-bit port
    clock.advance(2000)
    pin.level = 0
    assert button.poll() == DOWN


def test_late_polls_lose_no_edge_that_is_still_there():
    assert edges([(0, 1), (50, 0), (300, 1)], poll_ms=40) == [(80, DOWN), (320, UP)]


def test_is_down_follows():
    clock = Clock()
    pin = Pin(1)
    button = Button(pin, clock.ticks_ms)
    assert not button.is_down
    pin.level = 0
    button.poll()
    assert button.is_down


def test_polling_does_not_allocate():
    clock = Clock()
    pin = Pin(1)
    button = Button(pin, clock.ticks_ms)

    def press_and_release():
        pin.level = 0
        down = button.poll()
        clock.ms += 20
        pin.level = 1
        up = button.poll()
        clock.ms += 20
        return down == DOWN and up == UP

    assert assert_no_allocation(press_and_release)


def test_a_held_volume_key_repeats():
    steps = edges([(0, 1), (50, 0), (951, 1)], kind=Repeater)
    assert steps == [(50, True), (450, True), (600, True), (750, True), (900, True)]


def test_a_short_press_of_a_volume_key_is_one_step():
    assert edges([(0, 1), (50, 0), (52, 1), (54, 0), (200, 1)], kind=Repeater) == [(50, True)]


def test_a_second_press_waits_anew():
    steps = edges([(0, 1), (50, 0), (500, 1), (600, 0), (1001, 1)], kind=Repeater)
    assert steps == [(50, True), (450, True), (600, True), (1000, True)]


def test_a_late_poll_is_one_step():
    clock = Clock()
    pin = Pin(1)
    key = Repeater(pin, clock.ticks_ms)
    pin.level = 0
    assert key.poll()
    clock.advance(2000)
    assert key.poll() and not key.poll()
    clock.advance(150)
    assert key.poll()


def test_a_volume_key_held_at_the_start_does_nothing():
    assert edges([(0, 0), (2000, 1), (2100, 0), (2150, 1)], kind=Repeater) == [(2100, True)]
