"""Runs before main.py at every start, whatever is on the disk, and keeps the way to the REPL open.

A start from power or by the reset button leaves two seconds in which nothing of the application runs. The light blinks
white; Ctrl-C then ends at the REPL, and so does the button, pressed and let come up before ("safe mode": the light
stays white and main.py starts nothing). A soft reset from the REPL and a wake-up have no such window: whoever made the
first is at the REPL already. Nothing is imported but the board's data, and no error in here stops the start.
"""

import gc
import sys

STEP_MS = 20
WINDOW_STEPS = 100
BLINK_STEPS = 25  # a blink each half second,
LIT_STEPS = 5  # so long
DOWN_STEPS = 3  # a press is down so long
WHITE = (30, 30, 30)
DARK = (0, 0, 0)
NO_BOARD = {"button": {"pin": 0, "active_low": True, "pull_up": True}, "led": None}
DEFAULT_BOARD = "bread_compact_wifi"


def read_json(path):
    import json

    try:
        with open(path) as file:
            return json.load(file)
    except Exception:
        return {}


def read_board():
    """The data of the configured board from the disk, else of the default board, else GPIO 0 and no light."""
    name = DEFAULT_BOARD
    state = {}
    try:
        name = read_json("config.json").get("board", name)
        state = read_json("slots/state.json")
        slots = [state.get("good"), state.get("trial"), "a", "b"]
    except Exception:  # JSON, but no object
        slots = ["a", "b"]
    for folder in ["slots/" + slot for slot in slots if slot in ("a", "b")] + [""]:
        sys.path.insert(0, folder)
        try:
            board = getattr(__import__("boards." + name), name).BOARD
            button = board["button"]
            if is_usable(button["pin"]) and "active_low" in button and "pull_up" in button:
                return board
        except Exception:
            pass
        finally:
            sys.path.pop(0)
            for module in ("boards." + str(name), "boards"):
                sys.modules.pop(module, None)  # the application reads its own
    return NO_BOARD


def is_usable(pin):
    """Not a pin of the flash, the PSRAM or USB: a wrong board file must not stop the chip."""
    return isinstance(pin, int) and 0 <= pin <= 48 and not 22 <= pin <= 37 and pin not in (19, 20)


class Light:
    def __init__(self, board):
        self.pixel = None
        try:
            if board["led"] is not None and is_usable(board["led"]["pin"]):
                import machine
                import neopixel

                self.pixel = neopixel.NeoPixel(machine.Pin(board["led"]["pin"], machine.Pin.OUT), board["led"]["count"])
        except Exception:
            pass  # a board whose light is another one
        self.colour = None

    def show(self, colour):
        if self.pixel is not None and colour != self.colour:
            self.pixel.fill(colour)
            self.pixel.write()
            self.colour = colour


def is_pressed_in_window(board, light, left):
    """Wait for the left[0] steps that are left of the window; True at once when the button comes down."""
    import time

    import machine

    data = board["button"]
    pin = machine.Pin(data["pin"], machine.Pin.IN, machine.Pin.PULL_UP if data["pull_up"] else None)
    down_level = 0 if data["active_low"] else 1
    was_up = False  # one that is stuck is no press
    down_steps = 0
    while left[0] > 0:
        step = WINDOW_STEPS - left[0]
        left[0] -= 1
        light.show(WHITE if step % BLINK_STEPS < LIT_STEPS else DARK)
        if pin.value() != down_level:
            was_up = True
            down_steps = 0
        elif was_up:
            down_steps += 1
            if down_steps == DOWN_STEPS:
                return True
        time.sleep(STEP_MS / 1000)
    return False


def is_packet_waiting():
    """Clients of Improv ask while a board starts, and their packets hold Ctrl-C's byte: that is nobody at the REPL."""
    import select

    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    seen = b""
    is_whole = False
    while not is_whole:
        try:
            while len(seen) < 64 and poll.poll(STEP_MS):
                seen += sys.stdin.buffer.read(1)
            is_whole = True
        except KeyboardInterrupt:
            pass  # some packets hold that byte twice
    return b"IMPROV" in seen


def run_window():
    """Why main.py is not to start: "button", "Ctrl-C", or "" """
    import machine

    if machine.reset_cause() in (machine.SOFT_RESET, machine.DEEPSLEEP_RESET):
        return ""
    board = read_board()
    light = Light(board)
    left = [WINDOW_STEPS]  # a list, because it outlives an interrupt
    while True:
        try:
            reason = "button" if is_pressed_in_window(board, light, left) else ""
        except KeyboardInterrupt:
            if sys.platform not in ("linux", "darwin", "win32") and is_packet_waiting():
                continue
            reason = "Ctrl-C"
        light.show(WHITE if reason == "button" else DARK)
        return reason


is_safe_mode = False
try:
    why = run_window()
    if why:
        is_safe_mode = True
        print('{"kind": "safe_mode", "text": "%s: the application is not started; a reset starts it"}' % why)
except KeyboardInterrupt:
    is_safe_mode = True
except Exception as error:
    print('{"kind": "warning", "text": "boot.py: %s"}' % type(error).__name__)
for name in (
    "read_json", "read_board", "is_usable", "Light", "is_pressed_in_window", "is_packet_waiting", "run_window",
):  # fmt: skip
    globals().pop(name, None)  # their room belongs to the application
gc.collect()
