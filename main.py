"""Choose the slot that starts, and start it. On a board this runs by itself after boot.py; the simulator runs it too.

/slots/a and /slots/b hold one whole application each; /slots/state.json names the one that is known to work ("good")
and the one that was just written ("trial"). A trial gets three starts in which to confirm itself, which it does when
the speaker has come to rest (firmware/slots.py); then the good one is started again. Without /slots the application
is found on sys.path: a checkout, or an image with the application inside.

Nothing of the application is imported before the choice, so that none that is broken can spoil it.
"""

import gc
import json
import os
import sys

TRIAL_STARTS = 3
EXIT_RESTART = 5  # of the application: the host wants the board to be reset
DESKTOPS = ("linux", "darwin", "win32")
SLOTS = ("a", "b")
STATE_PATH = "slots/state.json"  # from the folder in which the board starts, its root


def read_state():
    """{"good": slot or None, "trial": slot or None, "starts": n}; what is missing or senseless counts as none."""
    try:
        with open(STATE_PATH) as file:
            found = json.load(file)
        state = {key: found.get(key) if found.get(key) in SLOTS else None for key in ("good", "trial")}
        starts = found.get("starts")
    except Exception:  # whatever a file may hold, the board starts
        return {"good": None, "trial": None, "starts": 0}
    state["starts"] = starts if isinstance(starts, int) and starts > 0 else 0
    return state


def write_state(state):
    """Whole or not at all; True when it stands. A disk that takes nothing must not keep the board from starting."""
    try:
        with open(STATE_PATH + ".new", "w") as file:
            json.dump(state, file)
        os.rename(STATE_PATH + ".new", STATE_PATH)
    except OSError as error:
        tell("warning", text="%s cannot be written (%s): is the disk full?" % (STATE_PATH, error))
        return False
    return True


def is_whole(slot):
    """Every file of the slot's manifest is there with its size; the contents were checked when they were written."""
    folder = "slots/%s/" % slot
    try:
        with open(folder + "manifest.json") as file:
            files = json.load(file)["files"]
        for path in files:
            if os.stat(folder + path)[6] != files[path][0]:
                return False
        return len(files) > 0
    except Exception:
        return False


def choose(state):
    """The slot to start, None when no slot is whole. Brings `state` up to date."""
    trial = state["trial"]
    if trial and state["starts"] < TRIAL_STARTS and is_whole(trial):
        state["starts"] += 1
        return trial
    if trial:
        cause = "is not whole" if state["starts"] < TRIAL_STARTS else "was started %d times and never came to rest"
        cause = cause % state["starts"] if "%" in cause else cause
        tell("warning", text="the application in slot %s %s: another one is started" % (trial, cause))
    state["trial"] = None
    state["starts"] = 0
    if state["good"] and is_whole(state["good"]):
        return state["good"]
    state["good"] = None
    whole = [slot for slot in SLOTS if is_whole(slot)]
    if len(whole) > 1 and trial in whole:
        whole.remove(trial)
    if not whole:
        return None
    state["trial"] = whole[0]
    state["starts"] = 1
    return whole[0]


def choose_and_note():
    """choose() with the state on the disk; the slot's folders go to the front of sys.path."""
    state = read_state()
    before = dict(state)
    slot = choose(state)
    if state != before and not write_state(state) and slot == state["trial"]:
        if state["good"] and is_whole(state["good"]):
            slot = state["good"]  # starts of a trial that nobody counts would never come to an end
    if slot is None:
        tell("warning", text="no slot holds a whole application: write one anew with the deploy tool")
        return None
    folder = os.getcwd().rstrip("/") + "/slots/" + slot
    sys.path[:0] = [folder, folder + "/lib"]
    tell("slot", slot=slot, trial=state["trial"] == slot, starts=state["starts"])
    return slot


def tell(kind, **fields):
    """A line in the form of the application's reports, before there is one."""
    fields["kind"] = kind
    print(json.dumps(fields))


def run(slot):
    """The application's exit code. A trial that breaks is started anew by a reset, which counts; Ctrl-C does not."""
    try:
        from firmware import start

        code = start.main(slot=slot)
    except KeyboardInterrupt:
        code = 0
    except Exception as error:
        if not is_on_trial(slot):
            raise
        show(error)
        code = 1
    if is_on_trial(slot) and code in (0, EXIT_RESTART):
        state = read_state()
        state["starts"] -= 1
        write_state(state)
    elif is_on_trial(slot):
        tell("warning", text="the application on trial broke: the board is reset for the next start")
        code = EXIT_RESTART
    if code == EXIT_RESTART:
        import machine

        machine.reset()
    return code


def is_on_trial(slot):
    return slot is not None and read_state()["trial"] == slot


def set_ctrl_c(byte):
    """Which byte from the host interrupts, -1: none. Packets of Improv hold Ctrl-C's, and their clients do not wait
    for the application to be loaded; from here on it looks after Ctrl-C itself (firmware/serial).
    """
    if sys.platform not in DESKTOPS:
        import micropython

        micropython.kbd_intr(byte)


def show(error):
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        import traceback

        traceback.print_exception(type(error), error, error.__traceback__)


if "open_window" in globals():  # boot.py has left it to us
    open_window()  # noqa: F821
if globals().get("is_safe_mode"):  # boot.py says so
    exit_code = 0
else:
    set_ctrl_c(-1)
    try:
        chosen = choose_and_note() if "slots" in os.listdir() else None
        del choose, choose_and_note, is_whole  # their room belongs to the application
        gc.collect()
        exit_code = run(chosen)
    finally:
        set_ctrl_c(3)
