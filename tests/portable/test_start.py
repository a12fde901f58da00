"""Where the program begins on a board: Ctrl-C is given back on every way out, and settings may come later."""

import json

from check import raises

from firmware import errors, report, start
from firmware.serial import port as serial_port


class Port:
    def __init__(self):
        self.log = []

    def take_ctrl_c(self):
        self.log.append("take")

    def give_back_ctrl_c(self):
        self.log.append("give back")


class Bench:
    """start.py with a port, and with stand-ins for what it loads and runs."""

    def __init__(self, configs, runs, waits=()):
        self.port = Port()
        self.log = self.port.log
        self._configs = list(configs)
        self._runs = list(runs)
        self._waits = list(waits)

    def __enter__(self):
        self._old = (serial_port.find, start._load, start._run, start._wait_for_settings, report.sink)
        serial_port.find = lambda: self.port
        start._load = self._load
        start._run = self._run
        start._wait_for_settings = self._wait
        report.sink = lambda line: None
        return self

    def __exit__(self, kind, error, trace):
        serial_port.find, start._load, start._run, start._wait_for_settings, report.sink = self._old

    def _load(self, path):
        return self._next(self._configs, "load"), "board"

    def _run(self, config, board, ports, port, slot, path):
        assert (config, board, port, slot) == ("config", "board", self.port, "a")
        return self._next(self._runs, "run")

    def _wait(self, error, path, ports, slot, port):
        return self._next(self._waits, "wait")

    def _next(self, plan, name):
        self.log.append(name)
        found = plan.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found


def test_ctrl_c_is_taken_before_anything_is_loaded_and_given_back_at_the_end():
    for code in (errors.EXIT_OK, errors.EXIT_BROKEN, errors.EXIT_RESTART):
        with Bench(["config"], [code]) as bench:
            assert start.main(slot="a") == code
            assert bench.log == ["take", "load", "run", "give back"]


def test_it_is_given_back_whatever_happens():
    for failure in (ValueError("a fault of ours"), KeyboardInterrupt(), MemoryError(), SystemExit()):
        with Bench(["config"], [failure]) as bench:
            with raises(type(failure)):
                start.main(slot="a")
            assert bench.log == ["take", "load", "run", "give back"]


def test_a_blank_board_waits_and_then_speaks():
    missing = errors.ConfigError("bot_id", "is missing")
    with Bench([missing, missing, "config"], [0], [None, None]) as bench:
        assert start.main(slot="a") == 0
        assert bench.log == ["take", "load", "wait", "load", "wait", "load", "run", "give back"]
    for code in (errors.EXIT_OK, errors.EXIT_RESTART):
        with Bench([missing], [], [code]) as bench:
            assert start.main(slot="a") == code
            assert bench.log == ["take", "load", "wait", "give back"]


def test_a_heap_with_holes_after_the_waiting_asks_for_a_restart():
    missing = errors.ConfigError("bot_id", "is missing")
    with Bench([missing, "config"], [MemoryError()], [None]):
        assert start.main(slot="a") == errors.EXIT_RESTART


def test_without_a_serial_port_wrong_settings_end_the_program():
    lines = []
    old = report.sink
    report.sink = lines.append
    try:
        assert start.main("no such file.json") == errors.EXIT_SETTINGS
    finally:
        report.sink = old
    assert len(lines) == 1 and "no such file.json" in lines[0]


class _Waiting:
    """blank.Blank that ends at once with an exit code."""

    def __init__(self, exit_code):
        self.exit_code = exit_code
        self.led = self

    def off(self):
        pass

    async def run(self):
        pass


def test_how_the_waiting_for_settings_ended_is_told_as_it_was():
    from firmware import blank

    cases = ((errors.EXIT_OK, ["stopped by Ctrl-C"]), (errors.EXIT_RESTART, ["restarted by the host"]))
    old = (blank.Blank, report.sink)
    try:
        for exit_code, said in cases + ((errors.EXIT_BROKEN, []), (blank.CONFIGURED, [])):
            lines = []
            report.sink = lines.append
            blank.Blank = lambda *_: _Waiting(exit_code)
            assert blank.run(None, "", "ports", None, None) == exit_code
            assert [json.loads(line)["text"] for line in lines] == said, exit_code
    finally:
        blank.Blank, report.sink = old
