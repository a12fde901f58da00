"""A whole conversation in a heap that is small: MicroPython's -X heapsize is a hard limit, as a board's memory is.

Everything of the simulator lives in that heap too (stand-ins, world, script), and here even the compiler, because the
modules are read from source. tools/bench tells what the firmware alone needs.

    python tests/test_conversation_heap.py [--mpy]      bisects the smallest heap, by hand: it takes minutes
"""

import asyncio
import os
import shutil
import sys
import tempfile

import pytest

if __name__ == "__main__":
    HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path[:0] = [os.path.dirname(HERE), os.path.dirname(HERE) + "/lib", HERE]

import conversation
from conversation import MPY32, MPY64, Scene, answers, ask

from tools import ROOT

# Measured on MicroPython 1.25, in KB: from source 464 and 344, with .mpy files for the firmware 440 and 344. Of these,
# 106 and 79 are the simulator's. What is given here is some 15 % more than what was measured from source.
HEAP_KB = {MPY64: 536, MPY32: 400}

TALK = "wait idle; " + ask() + "wait turn; " + ask(clip="again.wav") + "wait turn; quit"


def scene(heap_kb, on, **options):
    return Scene(TALK, on=(on,), cloud=answers(700, 700), heapsize="%dk" % heap_kb, **options)


SCENES = {"a small heap, %s" % each: scene(HEAP_KB[each], each) for each in HEAP_KB}


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


def assert_held(run):
    assert run.outcomes == ["answered", "answered"] and run.errors == [], run.result.why()
    conversation.assert_played(run, *[(turn, "whole") for turn in run.cloud.turns])
    for nth, utterance in enumerate(run.cloud.utterances):
        assert utterance.fate == "completed" and utterance.duration_ms >= 300 + 450
    assert run.turns[-1]["heap_free_bytes"] >= 0


@pytest.mark.parametrize("interpreter", HEAP_KB)
def test_a_conversation_fits_into_a_small_heap(outcome, interpreter, show_figure):
    run = outcome("a small heap, %s" % interpreter, interpreter)
    assert_held(run)
    free = run.turns[-1]["heap_free_bytes"] // 1024
    show_figure("%s, heap of %d KB, from source: %d KB free after a turn" % (interpreter, HEAP_KB[interpreter], free))


def test_no_run_did_what_none_may_do(outcome):
    conversation.assert_well_behaved(outcome.all)


# -- by hand


async def holds(interpreter, heap_kb, folder, app_root):
    """Does a conversation take place in so much heap?"""
    try:
        run = await conversation.run_scene(
            scene(heap_kb, interpreter, app_root=app_root, timeout_s=30), "bisect", interpreter, folder, folder + "/run"
        )
        if run.result.exit_code:
            return False
        assert_held(run)
    except AssertionError:
        return False
    return True


async def smallest_heap_kb(interpreter, app_root=ROOT, low=64, high=4096, grain=8):
    """The smallest heap, in KB and steps of `grain`, in which the scene takes place twice in a row."""
    with tempfile.TemporaryDirectory() as folder:
        conversation.make_clips(folder)
        while high - low > grain:
            middle = (low + high) // 2 // grain * grain
            is_enough = await holds(interpreter, middle, folder, app_root) and await holds(
                interpreter, middle, folder, app_root
            )
            low, high = (low, middle) if is_enough else (middle, high)
            print("%s: %d KB %s" % (interpreter, middle, "is enough" if is_enough else "is too small"), flush=True)
    return high


def compiled_tree(folder, interpreter):
    """The firmware as .mpy files for this interpreter; boot.py and main.py stay source, as on a device."""
    from tools import size

    arch = "x64" if interpreter == MPY64 else "x86"
    files = [file for file in size.device_files() if file not in ("boot.py", "main.py")]
    wrong = [(file, error) for file, _, _, error in size.compile_device_files(files, folder, ROOT, arch) if error]
    assert not wrong, wrong
    for name in ("boot.py", "main.py"):
        shutil.copy(os.path.join(ROOT, name), folder)
    return folder


def main():
    for interpreter in (MPY64, MPY32):
        with tempfile.TemporaryDirectory() as folder:
            app_root = compiled_tree(folder, interpreter) if "--mpy" in sys.argv else ROOT
            kb = asyncio.run(smallest_heap_kb(interpreter, app_root))
        print("%s, %s: %d KB" % (interpreter, "compiled" if "--mpy" in sys.argv else "from source", kb), flush=True)


if __name__ == "__main__":
    main()
