"""Every board file in the simulator: the firmware drives its pins, a question goes out, an answer comes back whole."""

import conversation
import pytest
from conversation import CPYTHON, MPY64, Scene, ask

from firmware import boards
from firmware.drivers import power
from tools.board import provision

BOARDS = provision.board_names()
HOLD = "wait idle; " + ask() + "wait turn; sleep 50; quit"
SCENES = {
    name: Scene(
        HOLD,
        on=(CPYTHON, MPY64) if name == "waveshare_touch_lcd_1_85" else (CPYTHON,),  # the one with a kernel of its own
        config={"board": name, "uplink_codec": "pcm", "downlink_codec": "pcm"},
        world={"noise_peak": 20},
    )
    for name in BOARDS
    if name != "bread_compact_wifi"  # nearly all other conversations are held on it, or on its twin `sim`
}
RUNS = [(name, interpreter) for name in SCENES for interpreter in SCENES[name].on]


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


def test_every_board_file_is_a_board_that_can_be_chosen():
    names = "bread_compact_wifi elatoai_diy lilygo_t_circle_s3 waveshare_touch_lcd_1_85 xingzhi_cube_1_54"
    assert BOARDS == names.split()


@pytest.mark.parametrize("name, interpreter", RUNS)
def test_a_turn_on_this_board(outcome, name, interpreter):
    run = outcome(name, interpreter)
    assert run.outcomes == ["answered"] and run.errors == [], run.result.why()
    (turn,) = run.cloud.turns
    conversation.assert_played(run, (turn, "whole"))
    assert [report["board"] for report in run.result.of_kind("boot")] == [name]


@pytest.mark.parametrize("name, interpreter", RUNS)
def test_the_question_is_what_its_microphone_gave_with_the_gain_of_the_board(outcome, name, interpreter):
    run = outcome(name, interpreter)
    room, times = conversation.given(run)
    utterance = run.cloud.turns[0].utterance
    at = conversation.find(room.tobytes(), utterance.pcm)
    assert at >= 0, "each sample once, in order"
    end = int(times[at + len(utterance.pcm) // 2 - 1]) + 1
    conversation.assert_question_place(run, int(times[at]), end, run.at_ms("press"), run.at_ms("release"))


class FakeMachine:
    """Notes which pins are driven."""

    def __init__(self):
        machine = self
        machine.driven = []

        class Pin:
            OUT = 3

            def __init__(self, pin, mode, value):
                machine.driven.append((pin, mode, value))

        self.Pin = Pin


@pytest.mark.parametrize(
    "name, pins",
    (
        ("bread_compact_wifi", []),
        ("elatoai_diy", [10]),
        ("lilygo_t_circle_s3", [45]),
        ("waveshare_touch_lcd_1_85", [7]),
        ("xingzhi_cube_1_54", [21]),
    ),
)
def test_power_and_amplifier_are_switched_on(name, pins):
    machine = FakeMachine()
    power.raise_pins(machine, boards.load(name))
    assert machine.driven == [(pin, machine.Pin.OUT, 1) for pin in pins]


def test_the_boards_own_power_comes_before_the_amplifier():
    machine = FakeMachine()
    power.raise_pins(machine, {"hold_high": (21, 7), "amp_enable": 10})
    assert [pin for pin, _, _ in machine.driven] == [21, 7, 10]
