"""boot.py on a made-up chip: its window, safe mode, and disks on which everything is broken."""

import json
import os
import subprocess
import sys

import pytest

from tools import ROOT, mpy

CHILD = os.path.join(ROOT, "tests", "boot_child.py")
BOOT = os.path.join(ROOT, "boot.py")
POWER_ON, HARD, WATCHDOG, DEEP_SLEEP, SOFT = 1, 2, 3, 4, 5
STEPS = 100  # of 20 ms
WHITE, DARK = [30, 30, 30], [0, 0, 0]
PRESS = [[0, 1], [40, 0]]
BOARD = 'BOARD = {"button": {"pin": %s, "active_low": %s, "pull_up": True}, "led": {"pin": 9, "count": 1}}\n'


@pytest.fixture(scope="module", params=["cpython", "micropython32"])
def interpreter(request):
    if request.param == "cpython":
        return [sys.executable]
    return [mpy.launcher(32)]


class Chip:
    def __init__(self, folder, interpreter):
        self.folder = folder / "disk"
        self.folder.mkdir()
        self._settings = folder / "chip.json"
        self._interpreter = interpreter

    def write(self, path, text):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def boot(self, cause=POWER_ON, levels=None, typed=(), port="usb", platform="esp32", version=(1, 26, 1)):
        """What boot_child.py tells, and "said": the lines that boot.py printed."""
        chip = {"cause": cause, "levels": levels or {}, "typed": typed, "port": port, "platform": platform}
        chip["version"] = version
        self._settings.write_text(json.dumps(chip))
        command = [*self._interpreter, CHILD, BOOT, str(self._settings)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and not done.stderr, done.stderr
        *said, told = done.stdout.splitlines()
        told = json.loads(told)
        told["said"] = [json.loads(line) for line in said]
        assert told["has_left_path"], "the application finds the modules and the path as they were"
        assert told["interrupt"] == 3, "from here on Ctrl-C is an exception again"
        return told


@pytest.fixture
def chip(tmp_path, interpreter):
    return Chip(tmp_path, interpreter)


@pytest.mark.parametrize("cause", [POWER_ON, HARD, WATCHDOG, 0])
def test_a_start_from_power_or_reset_has_two_seconds(chip, cause):
    told = chip.boot(cause)
    assert told["steps"] == STEPS and not told["is_safe_mode"] and told["said"] == []


@pytest.mark.parametrize("cause", [SOFT, DEEP_SLEEP])
def test_a_soft_reset_and_a_wake_up_have_no_window(chip, cause):
    told = chip.boot(cause, levels={"0": PRESS})
    assert told["steps"] == 0 and not told["is_safe_mode"] and told["pins"] == []


def test_the_light_of_the_board_blinks(chip):
    chip.write("config.json", '{"board": "mine"}')
    chip.write("slots/a/boards/mine.py", BOARD % (7, True))
    told = chip.boot()
    assert told["pins"] == [[9, 2], [7, 1]]
    changes = (0, 5, 25, 30, 50, 55, 75, 80)
    assert told["colours"] == [[step, DARK if i % 2 else WHITE] for i, step in enumerate(changes)]


@pytest.mark.parametrize("active_low", [True, False])
def test_a_press_enters_safe_mode(chip, active_low):
    chip.write("config.json", '{"board": "mine"}')
    chip.write("slots/b/boards/mine.py", BOARD % (7, active_low))
    up = int(active_low)
    told = chip.boot(levels={"7": [[0, up], [40, 1 - up]]})
    assert told["is_safe_mode"] and told["steps"] == 42, "down for three looks"
    assert told["colours"][-1][1] == WHITE
    assert told["said"][0]["kind"] == "safe_mode" and "button" in told["said"][0]["text"]


def test_a_button_that_is_stuck_and_one_that_bounces_are_no_press(chip):
    assert not chip.boot(levels={"0": [[0, 0]]})["is_safe_mode"]
    assert not chip.boot(levels={"0": [[10, 0], [12, 1], [20, 0], [22, 1]]})["is_safe_mode"]
    assert chip.boot(levels={"0": [[0, 0], [50, 1], [60, 0]]})["is_safe_mode"], "held at the start, let go, pressed"


@pytest.mark.parametrize("version", [(1, 24, 0), (1, 27, 0, "")])
@pytest.mark.parametrize("port", ["usb", "uart"])
def test_ctrl_c_ends_at_the_repl(chip, port, version):
    told = chip.boot(typed=[[30, "\x03\x01"]], port=port, version=version)
    assert told["is_safe_mode"] and told["steps"] == 30 and "Ctrl-C" in told["said"][0]["text"]
    assert told["waiting"] == "\x01", "what follows is the REPL's"


def test_native_usb_that_starts_behind_boot_has_its_window_in_main(chip):
    assert chip.boot(version=(1, 27, 0))["is_left_to_main"]
    assert not chip.boot(version=(1, 26, 1))["is_left_to_main"]
    assert not chip.boot(version=(1, 27, 0), platform="linux")["is_left_to_main"]


def test_a_desktop_interrupts_by_an_exception_and_its_stdin_is_left_alone(chip):
    told = chip.boot(typed=[[10, "abc"], [30, "\x03"]], port="uart", platform="linux")
    assert told["is_safe_mode"] and told["steps"] == 30 and told["waiting"] == "abc"


PACKETS = {
    "state": "IMPROV\x01\x03\x02\x02\x00\xe5\n",
    "device": "IMPROV\x01\x03\x02\x03\x00\xe6\n",  # asked for by the number 3
    "three letters": "IMPROV\x01\x03\x06\x01\x03\x03abc\x0f\n",
}


@pytest.mark.parametrize("port", ["usb", "uart"])
@pytest.mark.parametrize("name", PACKETS)
def test_a_packet_of_improv_is_no_ctrl_c(chip, name, port):
    packet = PACKETS[name]
    told = chip.boot(typed=[[20, packet], [30, packet[:5]], [32, packet[5:]]], port=port)
    assert not told["is_safe_mode"] and told["steps"] == STEPS, "whoever asks every second cannot hold the board here"
    told = chip.boot(typed=[[20, packet], [40, "IM\x03"]], port=port)
    assert told["is_safe_mode"] and told["steps"] == 40, "a person is still heard"


@pytest.mark.parametrize("good, order", [("a", 5), ("b", 6), (None, 5)])
def test_the_board_is_that_of_the_good_slot(chip, good, order):
    chip.write("config.json", '{"board": "mine"}')
    chip.write("slots/state.json", json.dumps({"good": good, "trial": None, "starts": 0}))
    chip.write("slots/a/boards/mine.py", BOARD % (5, True))
    chip.write("slots/b/boards/mine.py", BOARD % (6, True))
    assert chip.boot()["pins"][-1] == [order, 1]


def test_a_checkout_has_its_boards_beside_it(chip):
    chip.write("boards/bread_compact_wifi.py", BOARD % (4, True))
    assert chip.boot()["pins"][-1] == [4, 1], "the default board, without any settings"


BROKEN = {
    "no settings": {},
    "settings that are no JSON": {"config.json": "{"},
    "settings that are no object": {"config.json": "[1]", "slots/state.json": "7"},
    "a board that is no text": {"config.json": '{"board": {"a": 1}}'},
    "a board with a wild name": {"config.json": '{"board": "../../etc/passwd"}'},
    "a board that is no Python": {"boards/bread_compact_wifi.py": "BOARD = {"},
    "a board that raises": {"boards/bread_compact_wifi.py": "1 / 0\n"},
    "a board without a button": {"boards/bread_compact_wifi.py": "BOARD = {}\n"},
    "a button on a pin of the flash": {"boards/bread_compact_wifi.py": BOARD % (30, True)},
    "a button on USB": {"boards/bread_compact_wifi.py": BOARD % (19, True)},
    "a button on a text": {"boards/bread_compact_wifi.py": BOARD % ("'x'", True)},
    "a button without its levels": {"boards/bread_compact_wifi.py": 'BOARD = {"button": {"pin": 1}, "led": None}\n'},
    "a light of another kind": {"boards/bread_compact_wifi.py": 'BOARD = {"button": None, "led": {"kind": "x"}}\n'},
    "a broken application": {"slots/a/firmware/start.py": "1 / 0", "machine.py": "1 / 0", "slots/state.json": "{}"},
}


@pytest.mark.parametrize("name", BROKEN)
def test_whatever_is_on_the_disk_the_boot_button_enters_safe_mode(chip, name):
    for path, text in BROKEN[name].items():
        chip.write(path, text)
    told = chip.boot(levels={"0": PRESS})
    assert told["is_safe_mode"] and told["pins"][-1] == [0, 1]
    assert not chip.boot()["is_safe_mode"], "and without a press the application starts"


def test_a_pin_that_the_chip_refuses_does_not_stop_the_start(chip):
    chip.write("boards/bread_compact_wifi.py", BOARD % (48, True))
    chip.write("config.json", '{"board": "odd"}')
    chip.write("boards/odd.py", 'BOARD = {"button": {"pin": 1}, "led": None}\n')
    told = chip.boot()
    assert not told["is_safe_mode"] and told["steps"] == STEPS, "the window is there, for GPIO 0"
