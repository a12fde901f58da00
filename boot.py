"""Runs before main.py at every start, whatever is on the disk, and keeps the way to the REPL open.

A start from power or by the reset button leaves two seconds in which nothing of the application runs. The light blinks
white; Ctrl-C then ends at the REPL, and so does the button, pressed and let come up before ("safe mode": the light
stays white and main.py starts nothing). A soft reset from the REPL and a wake-up have no such window: whoever made the
first is at the REPL already. Nothing is imported but the board's data, and no error in here stops the start.

From MicroPython 1.27 on a chip's own USB is started behind boot.py (ports/esp32/main.c), and nobody could press Ctrl-C
there. So the window is left to main.py, which opens it before anything else.
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
CTRL_C = 3
BURST_BYTES = 64  # then the button has its turn
IMPROV = b"IMPROV\x01"  # begins a packet
USB_AFTER_BOOT = (1, 27, 0)
DESKTOPS = ("linux", "darwin", "win32")
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


class Host:
    """Tells Ctrl-C from a packet of Improv, which may hold that byte anywhere: its clients ask while a board starts.

    So in the window nothing is to be made an exception: native USB drops what has come before a Ctrl-C that is one.
    """

    def __init__(self):
        import select

        self._seen = bytearray()  # of a packet: its header, type, length, so many bytes, a check sum
        self._stdin = sys.stdin.buffer
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)

    def has_interrupted(self):
        """Never waits, and reads no further than a Ctrl-C."""
        for _ in range(BURST_BYTES):
            if not self._poll.poll(0):
                return False
            if self._is_ctrl_c(self._stdin.read(1)[0]):
                return True
        return False

    def _is_ctrl_c(self, byte):
        seen = self._seen
        at = len(seen)
        if at < len(IMPROV) and byte != IMPROV[at]:
            self._seen = bytearray((byte,) if byte == IMPROV[0] else ())
            return byte == CTRL_C
        seen.append(byte)
        if at > len(IMPROV) and at == len(IMPROV) + 2 + seen[len(IMPROV) + 1]:
            self._seen = bytearray()
        return False


class Nobody:
    """On a desktop stdin belongs to whoever started the program, and Ctrl-C is an exception."""

    def has_interrupted(self):
        return False


def wait_in_window(board, light, host):
    """Why main.py is not to start: "button", "Ctrl-C", or "" when the time is over."""
    import time

    import machine

    data = board["button"]
    pin = machine.Pin(data["pin"], machine.Pin.IN, machine.Pin.PULL_UP if data["pull_up"] else None)
    down_level = 0 if data["active_low"] else 1
    was_up = False  # one that is stuck is no press
    down_steps = 0
    for step in range(WINDOW_STEPS):
        light.show(WHITE if step % BLINK_STEPS < LIT_STEPS else DARK)
        if host.has_interrupted():
            return "Ctrl-C"
        if pin.value() != down_level:
            was_up = True
            down_steps = 0
        elif was_up:
            down_steps += 1
            if down_steps == DOWN_STEPS:
                return "button"
        time.sleep(STEP_MS / 1000)
    return ""


def run_window():
    """Why main.py is not to start, or "" """
    import machine

    if machine.reset_cause() in (machine.SOFT_RESET, machine.DEEPSLEEP_RESET):
        return ""
    board = read_board()
    light = Light(board)
    if sys.platform in DESKTOPS:
        reason = wait_in_window(board, light, Nobody())
    else:
        import micropython

        micropython.kbd_intr(-1)
        try:
            reason = wait_in_window(board, light, Host())
        finally:
            micropython.kbd_intr(CTRL_C)
    light.show(WHITE if reason == "button" else DARK)
    return reason


def open_window():
    """is_safe_mode says afterwards what came of it. Leaves none of these functions: their room is the application's."""
    global is_safe_mode
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
        "read_json", "read_board", "is_usable", "Light", "Host", "Nobody", "wait_in_window", "run_window",
        "open_window",
    ):  # fmt: skip
        globals().pop(name, None)
    gc.collect()


if sys.platform in DESKTOPS or tuple(sys.implementation.version[:3]) < USB_AFTER_BOOT:
    open_window()
