"""The real speaker at its serial port, a pseudo terminal: commands, provisioning, restart, Ctrl-C, slots."""

import asyncio
import json
import os
import subprocess

import pytest

import improv
from tools import ROOT, mpy
from tools.cloud.server import CloudServer
from tools.sim import runner

TOKEN = "pat_console_secret_0123456789"
PASSWORD = "console wifi secret"
WORLD = {"ssid": "pipit-sim", "password": PASSWORD, "wifi_ms": 50}
CONFIG = {"wifi_password": PASSWORD, "wifi_timeout_ms": 1000}


class Host:
    """Holds the serial port open, gathers what comes, and waits for reports of the speaker."""

    def __init__(self):
        self.reports = []
        self.received = b""
        self._fd = None
        self._changed = asyncio.Event()
        self._seen = 0

    def on_line(self, report):
        self.reports.append(report)
        if report["kind"] == "serial":
            self._fd = os.open(report["path"], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            asyncio.get_running_loop().add_reader(self._fd, self._read)
        self._changed.set()

    def _read(self):
        self.received += os.read(self._fd, 65536)
        self._changed.set()

    def send(self, data):
        os.write(self._fd, data)

    async def until(self, is_there):
        while not is_there():
            await self._change()

    async def report(self, kind, **fields):
        """The next report of that kind with these fields, behind the one that was waited for last."""
        while True:
            while self._seen < len(self.reports):
                found = self.reports[self._seen]
                self._seen += 1
                if found["kind"] == kind and all(found.get(key) == value for key, value in fields.items()):
                    return found
            await self._change()

    async def _change(self):
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), 15)
        except asyncio.TimeoutError:
            lines = [json.dumps(report) for report in self.reports[-20:]]
            pytest.fail("\n".join([*lines, repr(self.received[-400:])]), pytrace=False)

    async def ask(self, do, **request):
        self.send(json.dumps({"do": do, "id": len(self.reports), **request}).encode() + b"\n")
        return await self.report("reply", do=do)

    async def rpc(self, command, data=b""):
        self.received = b""
        self.send(improv.packet(improv.RPC, bytes((command, len(data))) + data))

    def close(self):
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)


async def play(scene, interpreter, config=None, main=None, is_blank=False):
    """Run the speaker, and `await scene(host)` beside it; returns the Result."""
    host = Host()
    async with CloudServer("default", tls=True) as cloud:
        cloud_config = {**CONFIG, **(config or {})}
        speaker = asyncio.create_task(
            runner.run(
                cloud_config, cloud=cloud, interpreter=interpreter, serial_pty=True, on_line=host.on_line, world=WORLD,
                timeout_s=40, main=main, is_blank=is_blank,
            )
        )  # fmt: skip
        try:
            playing = asyncio.create_task(scene(host))
            await asyncio.wait([speaker, playing], return_when=asyncio.FIRST_COMPLETED)
            if speaker.done() and not playing.done():
                playing.cancel()
                pytest.fail("the speaker ended before the scene did:\n" + speaker.result().why(), pytrace=False)
            await playing
            return await speaker
        finally:
            speaker.cancel()
            await asyncio.gather(speaker, return_exceptions=True)
            host.close()


async def a_session(host):
    await host.report("state", state="idle")
    hello = await host.ask("hello")
    assert hello["product"] == "pipit" and hello["board"] == "sim" and hello["unit"] == "pipit-025069706974"
    status = await host.ask("status")
    assert status["state"] == "idle" and status["mode"] == "ptt_hold" and status["last_error"] is None
    assert status["wifi"] == {"ssid": "pipit-sim", "address": "192.168.4.17", "rssi_dbm": -55}
    assert (await host.ask("volume", percent=35))["percent"] == 35
    assert (await host.ask("status"))["volume_percent"] == 35
    shown = (await host.ask("config"))["config"]
    assert shown["token"] == shown["wifi_password"] == "(set, not shown)" and shown["wifi_ssid"] == "pipit-sim"
    assert (await host.ask("set", values={"mode": "loud"}))["error_kind"] == "config"
    changed = await host.ask("set", values={"mode": "free", "token": TOKEN})
    assert changed["changed"] == ["mode", "token"] and changed["restart_needed"] is True
    pieces = [await host.ask("trace")]
    while pieces[-1]["more"]:
        pieces.append(await host.report("reply", do="trace"))
    assert any("wifi_up" in line for piece in pieces for line in piece["lines"])
    await host.rpc(improv.GET_NETWORKS)
    await host.until(lambda: improv.result(improv.GET_NETWORKS, ()) in host.received)
    assert improv.result(improv.GET_NETWORKS, ("pipit-sim", "-55", "YES")) in host.received
    # Another network is tried while the speaker runs; it does not exist, and the old one is joined again.
    await host.rpc(improv.WIFI_SETTINGS, b"\x05other\x08password")
    assert "network not found" in (await host.report("error", error_kind="network"))["text"]
    await host.until(lambda: improv.packet(improv.ERROR_STATE, bytes((improv.UNABLE_TO_CONNECT,))) in host.received)
    await host.report("state", state="idle")
    assert (await host.ask("status"))["wifi"]["ssid"] == "pipit-sim"
    # A new password for the same network is really tried.
    await host.rpc(improv.WIFI_SETTINGS, b"\x09pipit-sim\x0ewrong password")
    await host.report("error", error_kind="password")
    await host.report("state", state="idle")
    await host.rpc(improv.WIFI_SETTINGS, b"\x09pipit-sim" + bytes((len(PASSWORD),)) + PASSWORD.encode())
    await host.report("wifi", ssid="pipit-sim")
    await host.report("state", state="idle")
    await host.until(lambda: improv.result(improv.WIFI_SETTINGS, ()) in host.received)
    assert (await host.ask("restart"))["ok"]
    assert (await host.report("boot"))["mode"] == "free", "the settings that were written, after a reset"
    assert (await host.report("error"))["error_kind"] == "token", "the token is none that this cloud knows"
    host.send(b"\r\x03")
    await host.report("stop")


@pytest.mark.parametrize("interpreter", ["cpython", "micropython32"])
def test_a_session_at_the_serial_port(interpreter):
    result = asyncio.run(play(a_session, interpreter))
    assert result.exit_code == 0 and result.run["exit_reason"] == "interrupted", result.why()
    assert result.run["is_ctrl_c_taken"] is False and result.run["led"][-1][1:] == [[0, 0, 0]]
    everything = json.dumps(result.reports) + result.stderr + "".join(result.output)
    for secret in (TOKEN, PASSWORD):
        assert secret not in everything


# What main.py finds on a board with slots; the files of the application come from the checkout all the same.
WITH_SLOTS = """
import json, os
if "slots" not in os.listdir():
    os.mkdir("slots")
    os.mkdir("slots/b")
    for path, data in (
        ("slots/b/VERSION", "1"),
        ("slots/b/manifest.json", json.dumps({"version": "1", "files": {"VERSION": [1, ""]}})),
        ("slots/state.json", json.dumps({"good": None, "trial": "b", "starts": 2})),
    ):
        with open(path, "w") as file:
            file.write(data)
with open(%r) as file:
    source = file.read()
exec(source, globals())
with open("slots/state.json") as file:
    print(json.dumps({"kind": "state.json", "state": json.load(file)}))
"""


@pytest.fixture
def main_with_slots(tmp_path):
    path = tmp_path / "main.py"
    path.write_text(WITH_SLOTS % os.path.join(ROOT, "main.py"))
    return str(path)


async def until_it_rests(host):
    started = await host.report("slot")
    assert (started["slot"], started["trial"], started["starts"]) == ("b", True, 3)
    await host.report("state", state="connecting")
    assert not [report for report in host.reports if report["kind"] == "slot" and "text" in report]
    await host.report("slot", slot="b")
    host.send(b"\x03")
    await host.report("stop")


async def until_it_waits(host):
    await host.report("unprovisioned")
    await host.report("slot", slot="b")
    host.send(b"\x03")
    await host.report("stop")


async def end_at_once(host):
    await host.report("state", state="connecting")
    host.send(b"\x03")
    await host.report("stop")


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
@pytest.mark.parametrize(
    "scene, is_blank, config, state",
    [
        (until_it_rests, False, {}, {"good": "b", "trial": None, "starts": 0}),
        (until_it_waits, True, {}, {"good": "b", "trial": None, "starts": 0}),
        (end_at_once, False, {"wifi_ssid": "nowhere"}, {"good": None, "trial": "b", "starts": 2}),
    ],
)
def test_a_trial_confirms_itself_when_it_rests_or_waits_for_settings(
    main_with_slots, scene, is_blank, config, state, interpreter
):
    result = asyncio.run(play(scene, interpreter, config, main=main_with_slots, is_blank=is_blank))
    assert result.of_kind("state.json")[-1]["state"] == state, result.why()
    assert result.exit_code == 0, result.why()


def test_the_button_in_the_window_of_boot_enters_safe_mode():
    """The real boot.py and main.py, started as from power."""
    reports = []
    result = runner.run_sync(
        CONFIG, script="sleep 100\npress\nsleep 500\n", serial_pty=True, world={**WORLD, "is_power_on": True},
        on_line=reports.append, timeout_s=20,
    )  # fmt: skip
    assert [report["kind"] for report in reports] == ["serial", "safe_mode"], result.why()
    assert result.exit_code == 0 and result.run["ended_ms"] < 1500
    assert [led[1] for led in result.run["led"]][-1] == [30, 30, 30]


STDIO = """
import sys, time
sys.path[:0] = [%(root)r, %(root)r + "/lib"]
from firmware.serial import port
assert port.find() is None, "a desktop"
serial = port.StdioPort()
seen = []
def read(n):
    while len(seen) < n:
        byte = serial.read()
        if byte < 0:
            time.sleep_ms(1)
        else:
            seen.append(byte)
assert serial.read() == -1
serial.write(b"ready")
read(4)
assert serial.read() == -1, "and it did not wait"
serial.write(bytes(seen) + b"\\n\\x00")
"""


@pytest.mark.parametrize("bits", [64, 32])
def test_the_port_of_a_chip_is_read_byte_by_byte_without_waiting(bits):
    child = subprocess.Popen(
        [mpy.launcher(bits), "-c", STDIO % {"root": ROOT}], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout.read(5) == b"ready"
        child.stdin.write(b"a\r\xff\x01")
        child.stdin.flush()
        assert child.stdout.read(6) == b"a\r\xff\x01\n\x00", "bytes as they are, no line ends made of them"
        child.stdin.close()
        assert child.wait(10) == 0
    finally:
        child.kill()


async def restart_and_stop(host):
    await host.report("unprovisioned")
    assert (await host.ask("status"))["state"] == "unprovisioned"
    assert (await host.ask("volume", percent=10))["ok"] is False, "there is no sound yet"
    assert (await host.ask("set", values={"wifi_ssid": "pipit-sim"}))["missing"] == ["bot_id", "token"]
    assert (await host.ask("restart"))["ok"]
    assert (await host.report("stop"))["text"] == "restarted by the host"
    await host.report("unprovisioned")
    assert (await host.ask("config"))["config"]["wifi_ssid"] == "pipit-sim"
    host.send(b"\x03")
    await host.report("stop")


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_a_board_that_is_not_set_up_is_restarted_and_stopped(interpreter):
    result = asyncio.run(play(restart_and_stop, interpreter, is_blank=True))
    assert result.exit_code == 0 and result.run["is_ctrl_c_taken"] is False, result.why()
    assert result.run["led"][-1][1:] == [[0, 0, 0]]
