"""`provision` and the console against the speaker's own firmware, which runs in the simulator on a pseudo terminal."""

import asyncio
import contextlib
import os
import threading

import pytest

from tools import ToolError, mpy
from tools.board import follow, provision
from tools.board.console import Console, Refused
from tools.cloud.server import CloudServer
from tools.sim import runner

TOKEN = "pat_never-to-be-shown-91c2"
PASSWORD = "also never shown 55"
BOT_ID = "7400000000000000001"
TIMEOUT_S = 60


@contextlib.contextmanager
def speaker(interpreter="cpython", **options):
    """(path of the serial port, Result, which is filled when the block is over)."""
    paths = []
    is_there = threading.Event()
    keyboard = runner.Keyboard()
    outcome = []
    loop = asyncio.new_event_loop()

    def on_serial(path):
        paths.append(path)
        is_there.set()

    def live():
        world = {"ssid": "Nest", "password": PASSWORD}
        outcome.append(
            loop.run_until_complete(
                runner.run(
                    interpreter=interpreter,
                    serial_pty=True,
                    on_serial=on_serial,
                    keyboard=keyboard,
                    timeout_s=TIMEOUT_S,
                    world=world,
                    **options,
                )
            )
        )

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    try:
        assert is_there.wait(TIMEOUT_S)
        yield paths[0], outcome
    finally:
        loop.call_soon_threadsafe(keyboard.send, "quit")
        thread.join(TIMEOUT_S)
        loop.close()


@pytest.fixture(scope="module")
def cloud():
    with CloudServer("default", tls=True, token=TOKEN).in_thread() as server:
        yield server


@pytest.fixture
def secrets(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    monkeypatch.setenv("MY_WIFI", PASSWORD)
    monkeypatch.setenv("WRONG", "wrong-wrong-wrong")
    monkeypatch.setattr(follow, "_STATUS_EVERY_S", 0.1)


def need(interpreter):
    try:
        runner.command_for(interpreter)
    except mpy.MissingMicroPython as error:
        if os.environ.get("ALLOW_NO_MPY") == "1":
            pytest.skip("NOT TESTED ON MICROPYTHON, because ALLOW_NO_MPY=1: %s" % error)
        pytest.fail(str(error), pytrace=False)


def first_settings(cloud):
    words = ["--wifi-name", "Nest", "--wifi-password-env", "MY_WIFI", "--bot-id", BOT_ID, "--token-env", "MY_TOKEN"]
    words += ["--board", "sim", "--set", "cloud_url=" + cloud.url, "--root", cloud.ca_pem]
    return words + ["--set", "wifi_timeout_ms=1000", "--set", "retry_max_ms=300"]


@pytest.mark.parametrize("interpreter", ("cpython", "micropython"))
def test_from_a_blank_board_to_online(cloud, secrets, interpreter, capfd):
    need(interpreter)
    with speaker(interpreter, is_blank=True) as (port, outcome):
        assert provision.run_cli(["--port", port] + first_settings(cloud)) == 0
        assert provision.run_cli(["--port", port, "--show"]) == 0
        with Console(port) as console:
            assert console.ask({"do": "status"})["state"] in ("idle", "standby")
            with pytest.raises(Refused, match="volume_percent: 900"):
                console.ask({"do": "set", "values": {"volume_percent": 900}})
            assert console.ask({"do": "volume", "percent": 30})["percent"] == 30
            assert sum(len(reply["lines"]) for reply in console.ask_all({"do": "trace"})) > 5
    shown = capfd.readouterr()
    assert "stored tls_roots/cloud-root.der" in shown.out and "online: Wi-Fi Nest, 192.168.4.17" in shown.out
    everything = shown.out + shown.err + repr(outcome[0].reports) + repr(outcome[0].output) + outcome[0].stderr
    assert TOKEN not in everything and PASSWORD not in everything
    assert "(set, not shown)" in shown.out


def test_each_step_on_the_way_fails_with_its_own_name(cloud, secrets):
    """One speaker, wrong in one thing after another."""
    with speaker(is_blank=True) as (port, _):
        words = ["--port", port]
        wrong = first_settings(cloud)
        wrong[3] = "WRONG"
        with pytest.raises(ToolError, match="it failed at the Wi-Fi password"):
            provision.run_cli(words + wrong)
        mended = ["--wifi-name", "Nest", "--wifi-password-env", "MY_WIFI", "--no-roots"]
        with pytest.raises(ToolError, match="it failed at the token"):
            provision.run_cli(words + mended + ["--token-env", "WRONG"])
        assert provision.run_cli(words + ["--token-env", "MY_TOKEN", "--no-roots"]) == 0
        assert provision.run_cli(words + ["--reset", "--yes"]) == 0
        with pytest.raises(ToolError, match="bot_id is missing|nothing to set"):
            provision.run_cli(words + ["--volume", "9"])
