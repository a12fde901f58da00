"""Runs boot.py on a made-up chip: `boot_child.py BOOT.PY CHIP.JSON`, current folder: the disk. Prints what it did.

CHIP.JSON: {"cause": reset cause, "levels": {pin: [[from step, level], ...]}, "ctrl_c_at": step or null,
"typed": what waits on stdin after that Ctrl-C, a 0x03 in it interrupts, "platform": as which sys.platform}
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


def sleep(seconds):
    assert 0 < seconds <= 0.02
    done["steps"] += 1
    if done["steps"] == chip.get("ctrl_c_at"):
        raise KeyboardInterrupt


class Poll:
    def register(self, stream, flags):
        pass

    def poll(self, ms):
        return [1] if chip["typed"] else []


class Typed:
    """sys.stdin of the chip."""

    def read(self, n):
        first, chip["typed"] = chip["typed"][:n], chip["typed"][n:]
        if first == "\x03":
            raise KeyboardInterrupt
        return first.encode()


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
chip_sys.stdin.buffer = Typed()
for name, module in (("machine", machine), ("neopixel", neopixel), ("time", time), ("select", select)):
    sys.modules[name] = module
path_before = list(sys.path)
with open(boot_path) as file:
    source = file.read()
names = {"__name__": "__main__"}
sys.modules["sys"] = chip_sys
exec(source, names)
sys.modules["sys"] = sys
done["is_safe_mode"] = names["is_safe_mode"]
done["has_left_path"] = sys.path == path_before and not [name for name in sys.modules if name.startswith("boards")]
print(json.dumps(done))
