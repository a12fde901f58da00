"""The slot chooser in main.py: run as a file, on each interpreter, in a folder that stands for the board's disk."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from tools import ROOT, mpy

MAIN = os.path.join(ROOT, "main.py")
WORKS = "def main(slot=None):\n    print('started', slot)\n    return %d\n"


@pytest.fixture(scope="module", params=["cpython", "micropython32"])
def interpreter(request):
    if request.param == "cpython":
        return [sys.executable]
    return [mpy.launcher(32)]


class Board:
    """A disk with slots, and a main.py that can be started on it."""

    def __init__(self, folder, interpreter):
        self.folder = folder
        self.interpreter = interpreter
        (folder / "main.py").write_bytes(open(MAIN, "rb").read())
        # `machine` as a board has it: a reset ends the program with a code of its own.
        (folder / "machine.py").write_text("import sys\n\n\ndef reset():\n    sys.exit(99)\n")

    def slot(self, name, source):
        """A slot with a whole application, whose firmware/start.py holds `source`."""
        folder = self.folder / "slots" / name
        (folder / "firmware").mkdir(parents=True, exist_ok=True)
        files = {"firmware/__init__.py": "", "firmware/start.py": source}
        manifest = {"version": "1", "files": {}}
        for path, text in files.items():
            (folder / path).write_text(text)
            manifest["files"][path] = [len(text.encode()), hashlib.sha256(text.encode()).hexdigest()]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def set(self, good=None, trial=None, starts=0):
        (self.folder / "slots" / "state.json").write_text(json.dumps({"good": good, "trial": trial, "starts": starts}))

    def state(self):
        state = json.loads((self.folder / "slots" / "state.json").read_text())
        return state["good"], state["trial"], state["starts"]

    def start(self):
        """(slot that was started or None, exit code, everything it printed)"""
        done = subprocess.run(
            [*self.interpreter, "main.py"], cwd=self.folder, capture_output=True, text=True, timeout=20
        )
        text = done.stdout + done.stderr
        started = [line.split()[1] for line in text.splitlines() if line.startswith("started ")]
        return (started[-1] if started else None), done.returncode, text


@pytest.fixture
def board(tmp_path, interpreter):
    return Board(tmp_path, interpreter)


def test_the_good_slot_starts_and_nothing_is_written(board):
    board.slot("a", WORKS % 0)
    board.slot("b", WORKS % 0)
    board.set(good="b")
    before = (board.folder / "slots" / "state.json").stat().st_mtime_ns
    slot, code, text = board.start()
    assert (slot, code) == ("b", 0), text
    assert (board.folder / "slots" / "state.json").stat().st_mtime_ns == before


def test_a_trial_that_breaks_is_reset_and_given_up_after_three_starts(board):
    board.slot("a", WORKS % 0)
    board.slot("b", "def main(slot=None):\n    raise ValueError('broken')\n")
    board.set(good="a", trial="b")
    for n in (1, 2, 3):
        slot, code, text = board.start()
        assert (slot, code) == (None, 99) and "broken" in text, text
        assert board.state() == ("a", "b", n)
    slot, code, text = board.start()
    assert (slot, code) == ("a", 0) and "was started 3 times and never came to rest" in text
    assert board.state() == ("a", None, 0)


def test_a_trial_whose_starts_cannot_be_counted_gives_way_to_the_good_one(board):
    """A full disk would make a trial that breaks start for ever."""
    board.slot("a", WORKS % 0)
    board.slot("b", "def main(slot=None):\n    raise ValueError('broken')\n")
    board.set(good="a", trial="b")
    (board.folder / "slots" / "state.json.new").mkdir()
    slot, code, text = board.start()
    assert (slot, code) == ("a", 0) and "is the disk full?" in text
    board.set(trial="b")
    assert board.start()[:2] == (None, 99), "without a good one it is tried all the same"


def test_a_trial_that_cannot_be_imported_breaks_like_any_other(board):
    board.slot("a", WORKS % 0)
    board.slot("b", "def main(:\n")
    board.set(good="a", trial="b")
    assert board.start()[:2] == (None, 99)
    assert board.state() == ("a", "b", 1)


def test_a_trial_whose_part_broke_counts_and_one_that_ctrl_c_ended_does_not(board):
    board.slot("a", WORKS % 0)
    board.slot("b", WORKS % 1)
    board.set(good="a", trial="b")
    assert board.start()[:2] == ("b", 99)
    assert board.state() == ("a", "b", 1)
    board.slot("b", WORKS % 0)
    assert board.start()[:2] == ("b", 0)
    assert board.state() == ("a", "b", 1)
    board.slot("b", "raise KeyboardInterrupt\n")
    assert board.start()[1] == 0
    assert board.state() == ("a", "b", 1)


CONFIRMS = """
def main(slot=None):
    print('started', slot)
    with open('slots/state.json', 'w') as file:
        file.write('{"good": "%s", "trial": null, "starts": 0}' % slot)
    raise ValueError('later')
"""


def test_a_confirmed_slot_is_good_and_its_later_crash_ends_at_the_prompt(board):
    board.slot("a", WORKS % 0)
    board.slot("b", CONFIRMS)
    board.set(good="a", trial="b")
    slot, code, text = board.start()
    assert slot == "b" and code == 1 and "later" in text, "an exception that main.py lets through"
    assert board.state() == ("b", None, 0)


@pytest.mark.parametrize(
    "state", [None, "", "{", "[1]", "null", '{"good": "c", "trial": 7, "starts": "x"}', '{"good": ["a"]}']
)
def test_without_a_usable_state_a_whole_slot_is_tried(board, state):
    board.slot("a", WORKS % 0)
    (board.folder / "slots" / "a" / "firmware" / "start.py").unlink()  # not whole
    board.slot("b", WORKS % 0)
    if state is not None:
        (board.folder / "slots" / "state.json").write_text(state)
    assert board.start()[:2] == ("b", 0)
    assert board.state() == (None, "b", 0)


def test_with_nothing_known_to_be_good_the_two_slots_are_tried_in_turn(board):
    for name in ("a", "b"):
        board.slot(name, WORKS % 1)
    assert [board.start()[0] for _ in range(8)] == ["a"] * 3 + ["b"] * 3 + ["a"] * 2


def test_a_slot_with_a_file_of_another_size_is_not_started(board):
    board.slot("a", WORKS % 0)
    folder = board.slot("b", WORKS % 0)
    (folder / "firmware" / "start.py").write_text(WORKS % 0 + "\n")
    board.set(good="a", trial="b")
    slot, _, text = board.start()
    assert slot == "a" and "is not whole" in text
    assert board.state() == ("a", None, 0)


def test_without_a_whole_slot_the_application_on_the_path_is_started(board):
    (board.folder / "slots").mkdir()
    (board.folder / "firmware").mkdir()
    (board.folder / "firmware" / "__init__.py").write_text("")
    (board.folder / "firmware" / "start.py").write_text(WORKS % 0)
    slot, code, text = board.start()
    assert (slot, code) == ("None", 0) and "no slot holds a whole application" in text


def test_a_disk_that_takes_nothing_still_starts(board):
    board.slot("a", WORKS % 0)
    board.set(good=None, trial="a")
    (board.folder / "slots" / "state.json.new").mkdir()  # cannot be written
    slot, code, text = board.start()
    assert (slot, code) == ("a", 0) and "cannot be written" in text


def test_the_slot_comes_before_everything_else_on_the_path(board):
    board.slot("a", "def main(slot=None):\n    import sys\n    print('path', sys.path[:2])\n    return 0\n")
    board.set(good="a")
    folder = str(board.folder)
    assert "path %s" % [folder + "/slots/a", folder + "/slots/a/lib"] in board.start()[2]


def test_safe_mode_starts_nothing(board):
    board.slot("a", WORKS % 0)
    board.set(good="a", trial="a")
    (board.folder / "both.py").write_text("is_safe_mode = True\nexec(open('main.py').read())\n")
    done = subprocess.run([*board.interpreter, "both.py"], cwd=board.folder, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert board.state() == ("a", "a", 0)


# A chip: another platform, `micropython.kbd_intr`, and an application that tells when it runs.
CHIP = """
import gc, json, os
import sys
class Module:
    pass
chip_sys = Module()
for name in ("path", "modules", "exit", "print_exception"):
    if hasattr(sys, name):
        setattr(chip_sys, name, getattr(sys, name))
chip_sys.platform = "esp32"
micropython = Module()
micropython.kbd_intr = lambda byte: print("kbd_intr", byte)
sys.modules["micropython"] = micropython
sys.modules["sys"] = chip_sys
with open("main.py") as file:
    exec(file.read())
"""
ENDS = {
    "in order": ("    return 0\n", 0),
    "with a broken part": ("    return 1\n", 0),
    "for a restart": ("    return 5\n", 99),
    "by a crash": ("    raise ValueError('x')\n", 1),
    "by Ctrl-C": ("    raise KeyboardInterrupt\n", 0),
    "by an exit": ("    import machine\n    machine.reset()\n", 99),
}


@pytest.mark.parametrize("end", ENDS)
def test_on_a_chip_ctrl_c_is_given_back_however_it_ends(board, end):
    body, code = ENDS[end]
    board.slot("a", "def main(slot=None):\n    print('running')\n" + body)
    board.set(good="a")
    (board.folder / "chip.py").write_text(CHIP)
    done = subprocess.run([*board.interpreter, "chip.py"], cwd=board.folder, capture_output=True, text=True, timeout=20)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("kbd_intr", "running"))]
    assert lines[:2] == ["kbd_intr -1", "running"] and lines[-1] == "kbd_intr 3", done.stdout + done.stderr
    assert done.returncode == code, done.stderr


def test_a_restart_during_a_trial_does_not_count(board):
    board.slot("a", WORKS % 5)
    board.set(trial="a", starts=1)
    assert board.start()[:2] == ("a", 99)
    assert board.state() == (None, "a", 1)
