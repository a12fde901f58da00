"""Patterns: one for every state and error, told apart by a person, and no write to the pixel without a change."""

from check import Clock, assert_no_allocation

from firmware import errors
from firmware.drivers import led, led_errors
from firmware.drivers.led import Led
from firmware.session import states


class Pixel:
    """Keeps what was written, as neopixel.NeoPixel does: fill() changes memory, write() shows it."""

    def __init__(self):
        self.memory = (0, 0, 0)
        self.writes = []

    def fill(self, colour):
        self.memory = tuple(colour)

    def write(self):
        self.writes.append(self.memory)


def movie(prepare, ms, start_ms=0):
    """prepare(led), then what the pixel shows at every 20 ms: [(r, g, b)]; and the number of writes."""
    clock = Clock(start_ms)
    pixel = Pixel()
    lamp = Led(pixel, clock.ticks_ms)
    prepare(lamp)
    frames = []
    for _ in range(0, ms, 20):
        lamp.step()
        frames.append(pixel.writes[-1])
        clock.advance(20)
    return frames, len(pixel.writes)


def shown(name, ms=4000, start_ms=0):
    return movie(lambda lamp: lamp.show(name), ms, start_ms)[0]


def flashed(kind):
    return movie(lambda lamp: lamp.flash(kind), 3000)[0]


def flashes_of(frames):
    """(colour, how many flashes in the first group)"""
    count = 0
    dark = 0
    before = (0, 0, 0)
    for frame in frames:
        if frame == (0, 0, 0):
            dark += 1
            if dark > 20:
                break
        else:
            dark = 0
            if before == (0, 0, 0):
                count += 1
        before = frame
    return frames[0], count


def test_every_state_has_a_pattern_in_every_mode():
    for state in states.STATES:
        for is_free in (False, True):
            assert led.pattern_name(state, is_free) in led.PATTERNS, state


def test_free_talk_looks_different():
    for state in ("listening", "thinking", "speaking"):
        talk = led.pattern_name(state, True)
        assert talk == "free_" + state
        assert shown(talk) != shown(state)
    assert led.pattern_name("idle", True) == "idle"


def test_patterns_are_told_apart():
    same = {"speaking": "finishing", "free_speaking": "free_finishing"}
    names = sorted(led.PATTERNS)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert (shown(a) == shown(b)) == (same.get(a) == b or same.get(b) == a), (a, b)


def test_every_error_kind_has_its_own_flashes():
    seen = {}
    for kind in errors.KINDS:
        sign = flashes_of(flashed(kind))
        assert sign[0] != (0, 0, 0)
        assert sign[1] == led_errors.ERRORS[kind][1], (kind, sign)
        assert sign not in seen, (kind, seen.get(sign))
        seen[sign] = kind


def test_an_error_covers_the_pattern_for_3_s_and_then_uncovers_it():
    def prepare(lamp):
        lamp.show("listening")
        lamp.flash(errors.WIFI)

    frames, _ = movie(prepare, 4000)
    assert frames[:8] == [(64, 0, 0)] * 8 and frames[8:45] == [(0, 0, 0)] * 37
    assert (0, 40, 0) not in frames[:150]
    assert frames[150:] == [(0, 40, 0)] * 50


def test_a_state_may_change_under_an_error():
    clock = Clock()
    pixel = Pixel()
    lamp = Led(pixel, clock.ticks_ms)
    lamp.flash(errors.TURN)
    lamp.show("idle")
    lamp.step()
    assert pixel.writes[-1] == (30, 30, 30)
    clock.advance(3000)
    lamp.step()
    assert pixel.writes[-1] == (0, 1, 6)


def test_the_newest_overlay_wins():
    clock = Clock()
    pixel = Pixel()
    lamp = Led(pixel, clock.ticks_ms)
    lamp.flash(errors.DNS)
    lamp.show_volume(150)
    lamp.step()
    assert pixel.writes[-1] == (40, 40, 40)
    lamp.flash(errors.DNS)
    lamp.step()
    assert pixel.writes[-1] == (64, 0, 0)


def test_volume_is_brightness_and_silence_is_red():
    def brightness(percent):
        return movie(lambda lamp: lamp.show_volume(percent), 20)[0][0]

    assert brightness(0) == (64, 0, 0)
    levels = [brightness(percent)[1] for percent in range(10, 151, 10)]
    assert levels == sorted(levels) and levels[0] > 0 and levels[-1] == 40
    assert brightness(200) == brightness(150)
    frames, _ = movie(lambda lamp: lamp.show_volume(70), 1100)
    assert frames[49] == (18, 18, 18) and frames[50] == (0, 0, 0)


def test_the_pixel_is_written_only_when_its_colour_changes():
    most_writes = {"idle": 1, "listening": 1, "off": 1, "connecting": 21, "standby": 4, "thinking": 110}
    for name, most in most_writes.items():
        frames, writes = movie(lambda lamp: lamp.show(name), 4000)
        changes = 1 + sum([1 for i in range(1, len(frames)) if frames[i] != frames[i - 1]])
        assert writes == changes and writes <= most, (name, writes, changes)


def test_showing_the_same_again_does_not_restart_it():
    clock = Clock()
    pixel = Pixel()
    lamp = Led(pixel, clock.ticks_ms)
    for _ in range(30):
        lamp.show("connecting")
        lamp.step()
        clock.advance(20)
    assert pixel.writes == [(36, 16, 0), (0, 0, 0), (36, 16, 0)]


def test_the_movement_goes_on_across_a_wrap_of_the_ticks():
    for name in sorted(led.PATTERNS):
        assert shown(name, start_ms=-1000) == shown(name), name


def test_modest_brightness_everywhere():
    for name in sorted(led.PATTERNS):
        assert max([max(frame) for frame in shown(name)]) <= 64, name


def test_a_board_without_a_pixel():
    clock = Clock()
    lamp = Led(None, clock.ticks_ms)
    lamp.show("listening")
    lamp.step()
    lamp.flash(errors.AUDIO)
    lamp.step()
    lamp.off()


def test_off_is_dark_at_once():
    frames, _ = movie(lambda lamp: (lamp.flash(errors.WIFI), lamp.step(), lamp.off()), 200)
    assert frames == [(0, 0, 0)] * 10


def test_a_name_that_is_no_pattern_is_a_bug_of_ours():
    lamp = Led(None, Clock().ticks_ms)
    for call, name in ((lamp.show, "dancing"), (lamp.flash, "dancing")):
        try:
            call(name)
        except KeyError:
            continue
        assert False, "an unknown name went through"


def test_a_step_does_not_allocate():
    clock = Clock()

    class StillPixel:
        def fill(self, colour):
            pass

        def write(self):
            pass

    lamp = Led(StillPixel(), clock.ticks_ms)

    def half_a_second():
        for _ in range(25):
            lamp.step()
            clock.ms += 20

    for name in ("thinking", "connecting", "standby", "idle"):
        lamp.show(name)
        assert_no_allocation(half_a_second)
    lamp.flash(errors.BUSY)
    assert_no_allocation(half_a_second)
