"""A board that has no usable settings: it stays up, answers at its serial port, and shows that it waits.

Ends when the settings have become whole (the speaker then starts), by Ctrl-C, or for a restart.
"""

import asyncio

from unload import unload

from . import boards, compat, errors, hardware, report, slots, tasks, trace
from . import ports as world
from .compat import const
from .config_table import ROWS
from .drivers import led
from .net import wifi
from .serial import reader

CONFIGURED = -1  # beside the exit codes of errors.py: the settings are whole now
_STEP_MS = const(20)
_STOPS = {errors.EXIT_OK: "stopped by Ctrl-C", errors.EXIT_RESTART: "restarted by the host"}


def run(error, path, ports, slot, port):
    """CONFIGURED, or an exit code of errors.py. error: why there are no settings; port: serial/port.py."""
    blank = Blank(error, path, ports or world.real(), slot, port)
    try:
        asyncio.run(blank.run())
    except KeyboardInterrupt:
        blank.exit_code = errors.EXIT_OK
    finally:
        blank.led.off()
        compat.forget_tasks()
    if blank.exit_code in _STOPS:  # a part that broke has been reported
        report.say("stop", compat.ticks_ms(), text=_STOPS[blank.exit_code])
    return blank.exit_code


class Blank:
    def __init__(self, error, path, ports, slot, port):
        import machine
        import network

        self.error = error
        self.exit_code = errors.EXIT_OK
        self.ports = ports
        self.trace = trace.Trace(ports.ticks_ms, 32)
        self.unit = boards.unit_id(machine)
        self.wifi = wifi.Wifi(network.WLAN(network.STA_IF), ports, self.trace)
        self.wifi_timeout_ms = _default("wifi_timeout_ms")
        self.board_name, board = _board(path)
        self.led = led.Led(hardware.pixel(machine, board and board["led"]), ports.ticks_ms)
        unload(__name__.rpartition(".")[0], ("config_edit", "config_table"))
        unload("", ("json_strict",))
        self._path = path
        self._slot = slot
        self._port = port
        self._reader = reader.Reader(port, ports, self._make_desk, lambda: self.end(errors.EXIT_OK))
        self._over = asyncio.Event()
        self._is_to_look = False
        self._device = None

    async def run(self):
        """Until end() or until the settings are whole."""
        self._tell(self.error.text)
        slots.confirm_and_tell(self._slot, self.ports)  # what can be set up is no failed start
        self.led.show("provisioning")
        tasks.spawn(self._reader.run(), "serial", self._died)
        tasks.spawn(self._run_led(), "led", self._died)
        try:
            await self._over.wait()
        except asyncio.CancelledError:
            pass  # Ctrl-C on CPython
        tasks.stop_all()

    def end(self, exit_code):
        self.exit_code = exit_code
        self._over.set()

    def look_again(self):
        """The settings were changed: are they whole now? Judged when the reply has gone out."""
        self._is_to_look = True

    async def _run_led(self):
        while True:
            self.led.step()
            if self._is_to_look:
                self._is_to_look = False
                self._look()
            await self.ports.sleep_ms(_STEP_MS)

    def _look(self):
        problem = self._device.settings.problem()
        if problem:
            self._tell(problem)
        else:
            self.end(CONFIGURED)

    def _tell(self, problem):
        report.say("unprovisioned", self.ports.ticks_ms(), text=problem, unit=self.unit)

    def _make_desk(self):
        from . import host_device
        from .serial import desk

        self._device = host_device.BlankDevice(self._path, self)
        return desk.Desk(self._device, self._port, self.ports)

    def _died(self, error):
        self.end(errors.EXIT_BROKEN)


def _default(name):
    return [row[2] for row in ROWS if row[0] == name][0]


def _board(path):
    """(name, BOARD or None) for the light."""
    from . import config_edit

    name = _default("board")
    for each in (config_edit.Settings(path).board_name(), name):
        try:
            return each, boards.load(each)
        except errors.PipitError:
            pass
    return name, None
