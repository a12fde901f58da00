"""Press, tap, double tap, five taps: what each edge means, and that no press ever waits for the next."""

from check import Clock

from firmware.session.gestures import Gestures


def gestures(script, is_hold, multi_tap_ms=400):
    """script: "D" down, "U" up, a number waits so many ms. Returns the events, each with the ms when it came."""
    clock = Clock(start_ms=-500)  # the ticks wrap in the middle
    seen = []
    elapsed = [0]
    machine = Gestures(is_hold, 250, multi_tap_ms, lambda event: seen.append((elapsed[0], event)))
    for word in script.split():
        if word == "D":
            machine.down(clock.ms)
        elif word == "U":
            machine.up(clock.ms)
        else:
            clock.advance(int(word))
            elapsed[0] += int(word)
    return seen


def test_hold_speak_release():
    assert gestures("D 1200 U", True) == [(0, "press"), (1200, "release")]
    assert gestures("D 250 U", True) == [(0, "press"), (250, "release")]


def test_a_short_hold_is_a_tap():
    assert gestures("D 249 U", True) == [(0, "press"), (249, "tap")]


def test_two_taps_stop():
    assert gestures("D 80 U 200 D 80 U", True) == [(0, "press"), (80, "tap"), (280, "press"), (360, "tap"), (360, "stop")]
    assert gestures("D 80 U 200 D 80 U", False) == [(0, "press"), (280, "stop")]


def test_slow_taps_are_single():
    assert "stop" not in [event for _, event in gestures("D 80 U 401 D 80 U", True)]
    assert gestures("D 80 U 401 D 80 U", False) == [(0, "press"), (481, "press")]


def test_a_question_between_two_taps_parts_them():
    events = [event for _, event in gestures("D 80 U 100 D 900 U 100 D 80 U", True)]
    assert events == ["press", "tap", "press", "release", "press", "tap"]


def test_five_quick_taps_ask_for_provisioning():
    five = "D 50 U 200 D 50 U 200 D 50 U 200 D 50 U 200 D 50 U"
    for is_hold in (True, False):
        events = [event for _, event in gestures(five, is_hold)]
        assert events[-1] == "provision" and events.count("provision") == 1
    assert [event for _, event in gestures(five, False)] == ["press", "stop", "press", "stop", "provision"]


def test_five_taps_over_more_than_three_seconds_do_not():
    slow = " ".join(["D 100 U 660"] * 5)
    for is_hold in (True, False):
        assert "provision" not in [event for _, event in gestures(slow, is_hold, multi_tap_ms=900)]


def test_an_edge_that_repeats_says_nothing():
    assert gestures("U D D 300 U U", True) == [(0, "press"), (300, "release")]
