"""Runs boot.py on a made-up chip: `boot_child.py BOOT.PY CHIP.JSON`, current folder: the disk. Prints what it did.

CHIP.JSON: {"cause": reset cause, "levels": {pin: [[from step, level], ...]}, "typed": [[at step, what a host sends]],
"port": "usb" or "uart", "platform": as which sys.platform, "version": of MicroPython}
"""

import json
import sys

boot_path, chip_path = sys.argv[1:3]
with open(chip_path) as file:
    chip = json.load(file)
done = {"steps": 0, "pins": [], "colours": [], "has_started": False}


class Module:
    pass


class Pin:
    IN, OUT, PULL_UP = 1, 2, 3

    def __init__(self, number, mode, pull=None):
        self._number = str(number)
        if number > 48:
            raise ValueError("invalid pin")
        done["pins"].append([number, mode])

    def value(self):
        level = 1
        for since, value in chip["levels"].get(self._number, []):
            if done["steps"] >= since:
                level = value
        return level


class NeoPixel:
    def __init__(self, pin, count):
        self._colour = None

    def fill(self, colour):
        self._colour = list(colour)

    def write(self):
        done["colours"].append([done["steps"], self._colour])


class Port:
    """The serial port and its buffer. A byte that is to interrupt never gets there; native USB drops what was in there
    before it (shared/tinyusb/mp_usbd_cdc.c), and is not there in boot.py from MicroPython 1.27 on.
    """

    interrupt = 3
    waiting = b""
    is_up = True

    def arrive(self, text):
        must_stop = False
        for byte in [ord(char) for char in text] if self.is_up else ():
            if byte == self.interrupt:
                must_stop = True
                if chip["port"] == "usb":
                    self.waiting = b""
            else:
                self.waiting += bytes((byte,))
        if must_stop:
            raise KeyboardInterrupt

    def read(self, n):
        assert len(self.waiting) >= n, "a read blocks when nothing is there"
        first, self.waiting = self.waiting[:n], self.waiting[n:]
        return first


port = Port()


def sleep(seconds):
    assert 0 < seconds <= 0.02
    done["steps"] += 1
    for step, text in chip["typed"]:
        if step == done["steps"]:
            port.arrive(text)


class Poll:
    def register(self, stream, flags):
        assert stream is chip_sys.stdin

    def poll(self, ms):
        assert ms == 0
        return [1] if port.waiting else []


def kbd_intr(byte):
    port.interrupt = byte


machine = Module()
machine.PWRON_RESET, machine.HARD_RESET, machine.WDT_RESET, machine.DEEPSLEEP_RESET, machine.SOFT_RESET = 1, 2, 3, 4, 5
machine.reset_cause = lambda: chip["cause"]
machine.Pin = Pin
neopixel = Module()
neopixel.NeoPixel = NeoPixel
time = Module()
time.sleep = sleep
select = Module()
select.POLLIN = 1
select.poll = Poll
chip_sys = Module()  # `sys` as boot.py sees it: another platform and another stdin, the rest unchanged
for name in ("path", "modules"):
    setattr(chip_sys, name, getattr(sys, name))
chip_sys.platform = chip["platform"]
chip_sys.stdin = Module()
chip_sys.stdin.buffer = port
chip_sys.implementation = Module()
chip_sys.implementation.version = tuple(chip["version"])
micropython = Module()
micropython.kbd_intr = kbd_intr
for name, module in (
    ("machine", machine), ("neopixel", neopixel), ("time", time), ("select", select), ("micropython", micropython),
):  # fmt: skip
    sys.modules[name] = module
path_before = list(sys.path)
with open(boot_path) as file:
    source = file.read()
names = {"__name__": "__main__"}
sys.modules["sys"] = chip_sys
port.is_up = chip["port"] == "uart" or chip_sys.implementation.version < (1, 27, 0)
exec(source, names)
port.is_up = True
done["is_left_to_main"] = "open_window" in names
if done["is_left_to_main"]:
    names["open_window"]()
sys.modules["sys"] = sys
done["interrupt"] = port.interrupt
done["waiting"] = port.waiting.decode()
done["is_safe_mode"] = names["is_safe_mode"]
done["has_left_path"] = sys.path == path_before and not [name for name in sys.modules if name.startswith("boards")]
print(json.dumps(done))
