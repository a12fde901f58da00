"""What a running speaker does for a host: another network, a scan, its status; the conversation comes first."""

import asyncio
import json

import check
from check import now_ms, raises, stepped

from firmware import errors, host_device, report
from firmware.compat import sleep_ms
from firmware.errors import ConfigError, LinkError
from firmware.trace import Trace
from firmware.trace_names import NAMES


class Config:
    board = "sim"
    mode = "free"
    wifi_ssid = "old"
    wifi_password = "old password"
    wifi_timeout_ms = 9000


class Part:
    """A part that writes down what it is told."""

    def __init__(self, log, *names):
        for name in names:
            setattr(self, name, self._noter(log, name))

    def _noter(self, log, name):
        return lambda *args: log.append((name,) + args)


class Wifi(Part):
    def __init__(self, log):
        Part.__init__(self, log, "leave")
        self.log = log
        self.failure = None
        self.is_up = True

    async def up(self, ssid, password, timeout_ms):
        self.log.append(("up", ssid, password, timeout_ms))
        await sleep_ms(1000)
        if self.failure is not None:
            raise self.failure

    def scan(self):
        self.log.append(("scan",))
        if self.failure is not None:
            raise self.failure
        return ["networks"]

    def details(self):
        return "home", "192.168.4.2", -50


class Settings:
    def __init__(self, log):
        self.log = log
        self.failure = None

    def change(self, values, removed=(), is_dry=False):
        if len(values["wifi_ssid"]) > 32:
            raise ConfigError("wifi_ssid", "is too long")
        if not is_dry:
            self.log.append(("stored", values["wifi_ssid"], values["wifi_password"]))
            if self.failure is not None:
                raise self.failure


class Speaker:
    def __init__(self):
        self.log = log = []
        self.config = Config()
        self.unit = "pipit-1"
        self.ports = check.ports()
        self.trace = Trace(now_ms)
        self.led = Part(log, "flash")
        self.wifi = Wifi(log)
        self.connector = Part(log, "pause", "resume")
        self.session = Part(log, "hurry")
        self.session.state = "idle"
        self.session.error = None
        self.player = Part(log)
        self.player.volume_percent = 70
        self.quiet = True
        self.ended = []
        self.end = self.ended.append

    def is_quiet(self):
        return self.quiet


def make():
    speaker = Speaker()
    device = host_device.SpeakerDevice("config.json", speaker)
    device.settings = Settings(speaker.log)
    return speaker, device


async def reports_of(coro):
    """(what it raised or None, the reports meanwhile)"""
    lines = []
    old = report.sink
    report.sink = lines.append
    error = None
    try:
        await coro
    except errors.PipitError as failure:
        error = failure
    finally:
        report.sink = old
    return error, [json.loads(line) for line in lines]


@stepped()
async def test_a_network_that_works_is_stored_and_used_from_now_on():
    speaker, device = make()
    error, reports = await reports_of(device.join("new", "new password"))
    assert error is None and [report["kind"] for report in reports] == ["wifi"]
    assert speaker.log == [
        ("pause",), ("leave",), ("up", "new", "new password", 9000), ("stored", "new", "new password"), ("resume",),
        ("hurry",),
    ]  # fmt: skip
    assert (speaker.config.wifi_ssid, speaker.config.wifi_password) == ("new", "new password")
    assert "new password" not in json.dumps(reports)


@stepped()
async def test_a_network_that_fails_leaves_everything_as_it_was():
    speaker, device = make()
    speaker.wifi.failure = LinkError("wrong", errors.PASSWORD)
    error, _ = await reports_of(device.join("new", "new password"))
    assert error.kind == errors.PASSWORD
    assert [step[0] for step in speaker.log] == ["pause", "leave", "up", "resume", "hurry"]
    assert (speaker.config.wifi_ssid, speaker.config.wifi_password) == ("old", "old password")


@stepped()
async def test_settings_that_no_network_can_have_are_not_tried():
    for ssid in ("", "x" * 33):
        speaker, device = make()
        error, _ = await reports_of(device.join(ssid, "password"))
        assert error.kind == errors.CONFIG and speaker.log == []


@stepped()
async def test_a_disk_that_refuses_is_told():
    speaker, device = make()
    device.settings.failure = OSError(28)
    error, _ = await reports_of(device.join("new", "password"))
    assert error.kind == errors.CONFIG and "disk" in error.text
    assert speaker.config.wifi_ssid == "old" and speaker.log[-1] == ("hurry",)


@stepped()
async def test_a_conversation_is_waited_for_but_not_for_ever():
    speaker, device = make()
    speaker.quiet = False
    task = asyncio.create_task(device.join("new", "password"))
    await sleep_ms(3000)
    assert speaker.log == []
    speaker.quiet = True
    await reports_of(task)
    speaker.quiet = False
    for job in (device.join("other", "password"), device.scan()):
        before_ms = now_ms()
        error, _ = await reports_of(job)
        assert error.kind == errors.BUSY and 8000 <= now_ms() - before_ms <= 8100
    assert speaker.config.wifi_ssid == "new"


@stepped()
async def test_a_question_that_is_being_answered_keeps_the_network():
    speaker, device = make()
    for state in ("calling", "waiting", "listening", "tail", "thinking", "finishing"):
        speaker.session.state = state  # all of them may be quiet
        for job in (device.join("other", "password"), device.scan()):
            error, _ = await reports_of(job)
            assert error.kind == errors.BUSY and speaker.log == [], state
    for state in ("standby", "offline", "connecting", "idle"):
        speaker.session.state = state
        error, _ = await reports_of(device.join("other", "password"))
        assert error is None


@stepped()
async def test_a_scan_takes_the_radio_only_when_it_is_not_in_use():
    speaker, device = make()
    assert await device.scan() == ["networks"] and speaker.log == [("scan",)]
    speaker.log.clear()
    speaker.wifi.is_up = False
    assert await device.scan() == ["networks"]
    assert speaker.log == [("pause",), ("leave",), ("scan",), ("resume",), ("hurry",)]
    speaker.log.clear()
    speaker.wifi.failure = LinkError("busy", errors.WIFI)
    error, _ = await reports_of(device.scan())
    assert error.kind == errors.WIFI and speaker.log[-2:] == [("resume",), ("hurry",)]


@stepped()
async def test_the_status_tells_the_newest_error():
    speaker, device = make()
    assert device.status()["last_error"] is None
    await reports_of(tell(device))
    assert device.status()["last_error"] == {"error_kind": "network", "text": "none there"}
    assert speaker.log == [("flash", "network")]
    assert [NAMES[entry[1]] for entry in speaker.trace.entries()] == ["error"]
    speaker.session.error = LinkError("token", errors.TOKEN)
    status = device.status()
    assert status["last_error"]["error_kind"] == "token" and status["state"] == "idle" and status["mode"] == "free"
    assert status["wifi"] == {"ssid": "home", "address": "192.168.4.2", "rssi_dbm": -50}
    await sleep_ms(1500)
    assert device.status()["uptime_ms"] == 1500


async def tell(device):
    device.report_error(LinkError("none there", errors.NETWORK))


def test_a_restart_ends_in_order():
    speaker, device = make()
    device.restart()
    assert speaker.ended == [errors.EXIT_RESTART]


def test_a_volume_for_a_board_that_is_not_set_up_is_refused():
    with raises(ConfigError, "not set up"):
        host_device.BlankDevice.set_volume(None, 50)
