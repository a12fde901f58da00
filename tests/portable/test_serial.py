"""The serial port of a speaker: lines of JSON answered, packets of Improv answered, Ctrl-C, and input that is none."""

import asyncio
import binascii
import hashlib
import json
import os
import sys

import check
from check import raises, stepped

import improv
from firmware import config_edit, errors, report
from firmware.compat import sleep_ms, ticks_diff
from firmware.errors import ConfigError, LinkError
from firmware.serial import desk, errands, reader

SECRET = "pat_very_secret_0123456789"


class Port:
    """A host at the other end: put() what it sends, packets() what it got. Lines go through firmware.report."""

    def __init__(self):
        self.incoming = []
        self.packets = []

    def put(self, data):
        self.incoming += list(data)

    def read(self):
        return self.incoming.pop(0) if self.incoming else -1

    def write(self, data):
        assert (
            data[:6] == b"IMPROV" and data[-1] == 10 and sum(data[:-2]) & 0xFF == data[-2] and data[8] == len(data) - 11
        )
        self.packets.append((data[7], bytes(data[9:-2])))


class Settings:
    def __init__(self):
        self.calls = []

    def change(self, values, removed=(), is_dry=False):
        if values.get("volume_percent", 0) > 150:
            raise ConfigError("volume_percent", "999 is not allowed: write a whole number from 0 to 150")
        self.calls.append((values, removed, is_dry))
        return {"changed": sorted(values), "missing": [], "restart_needed": True, "warnings": []}

    def read_redacted(self):
        return {"config": {"mode": "free"}, "missing": [], "problem": ""}


class Device:
    """What desk.py speaks for. `wifi` says how join() and scan() go."""

    def __init__(self):
        self.settings = Settings()
        self.percent = 70
        self.is_up = False
        self.joined = []
        self.failure = None
        self.errors = []
        self.restarts = 0
        self.was_changed = []
        self.networks = [("café", -40, False), ("open", -90, True)]
        self.lines = ["line %d" % i for i in range(20)]
        self.is_broken = False

    def hello(self):
        return {"product": "pipit", "version": "1", "board": "b", "chip": "c", "unit": "pipit-1", "os": "1.25.0"}

    def status(self):
        if self.is_broken:
            raise MemoryError
        return {"state": "idle", "mode": "free", "volume_percent": self.percent}

    def set_volume(self, percent):
        self.percent = percent
        return percent

    def trace_lines(self):
        return self.lines

    def is_wifi_up(self):
        return self.is_up

    async def scan(self):
        await sleep_ms(2000)
        if self.failure is not None:
            raise self.failure
        return self.networks

    async def join(self, ssid, password):
        await sleep_ms(3000)
        if self.failure is not None:
            raise self.failure
        self.is_up = True
        self.joined.append((ssid, password))

    def report_error(self, error):
        self.errors.append(error.kind)

    def changed(self, keys):
        self.was_changed.append(keys)

    def restart(self):
        self.restarts += 1

    def spawn(self, coro, name):
        return asyncio.create_task(coro)


class Bench:
    """A reader at work between a Port and a Device."""

    def __init__(self):
        self.port = Port()
        self.device = Device()
        self.interrupts = 0
        self.lines = []
        self.desks = 0
        self._sink = report.sink
        report.sink = self.lines.append
        ports = check.ports()

        def make_desk():
            self.desks += 1
            return desk.Desk(self.device, self.port, ports)

        self.reader = reader.Reader(self.port, ports, make_desk, self._interrupt)

    def _interrupt(self):
        self.interrupts += 1

    async def __aenter__(self):
        self.task = asyncio.create_task(self.reader.run())
        return self

    async def __aexit__(self, kind, error, trace):
        self.task.cancel()
        report.sink = self._sink

    async def ask(self, data, ms=500):
        """The replies to one line or to raw bytes."""
        self.lines.clear()
        self.port.put(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")
        await sleep_ms(ms)
        return [json.loads(line) for line in self.lines]

    async def rpc(self, command, data=b"", ms=500):
        """The packets that answer one command."""
        self.port.packets.clear()
        self.port.put(improv.packet(improv.RPC, bytes((command, len(data))) + data))
        await sleep_ms(ms)
        return self.port.packets


def error_packet(code):
    return (improv.ERROR_STATE, bytes((code,)))


def state_packet(state):
    return (improv.CURRENT_STATE, bytes((state,)))


NONE = error_packet(improv.NO_ERROR)


# Lines


@stepped()
async def test_a_command_is_answered_with_its_id():
    async with Bench() as bench:
        (reply,) = await bench.ask({"do": "hello", "id": 7})
        assert reply["kind"] == "reply" and reply["ok"] is True and reply["id"] == 7 and reply["do"] == "hello"
        assert reply["product"] == "pipit" and reply["unit"] == "pipit-1"
        (reply,) = await bench.ask({"do": "status", "id": 8.5})
        assert reply["state"] == "idle" and reply["id"] == 8.5
        assert bench.desks == 1, "made at the first line, and kept"


class UART(Port):
    """An ESP32's at 115 200 baud without flow control: what nobody has read when 259 bytes wait is lost."""

    def __init__(self):
        Port.__init__(self)
        self.lost_bytes = 0
        self._coming = b""
        self._come = 0
        self._since_ms = 0

    def send(self, data):
        self._coming = data
        self._come = 0
        self._since_ms = check.now_ms()

    def read(self):
        come = min(len(self._coming), ticks_diff(check.now_ms(), self._since_ms) * 1152 // 100)
        for at in range(self._come, come):
            if len(self.incoming) < 259:
                self.incoming.append(self._coming[at])
            else:
                self.lost_bytes += 1
        self._come = come
        return Port.read(self)


async def sleep_to_a_tick(ms):
    """asyncio's sleep_ms on the ESP32 port: it ends with one of FreeRTOS' ticks, each 10 ms."""
    due_ms = check.now_ms() + ms if ms else 0
    await sleep_ms(due_ms + -due_ms % 10 - check.now_ms() if ms else 0)


@stepped()
async def test_a_uart_loses_nothing_of_a_long_line_in_pieces():
    lines = []
    uart = UART()
    ports = check.ports()
    ports.sleep_ms = sleep_to_a_tick

    class Lines:
        def line(self, data):
            lines.append(bytes(data))

    task = asyncio.create_task(reader.Reader(uart, ports, Lines, None).run())
    line = b"x" * 1999
    for pause_ms in (3, 11, 17):  # as the host's console sends to a UART: 200 bytes, then 50 ms
        await sleep_ms(1000 + pause_ms)
        for at in range(0, 2000, 200):
            uart.send((line + b"\n")[at : at + 200])
            await sleep_ms(50)
    uart.send(line[:800] + b"\n")  # without pauses, while it is being read
    await sleep_ms(200)
    assert uart.lost_bytes == 0 and [len(one) for one in lines] == [1999] * 3 + [800]
    task.cancel()


@stepped()
async def test_nobody_is_loaded_before_something_comes():
    async with Bench() as bench:
        await sleep_ms(5000)
        assert bench.desks == 0


@stepped()
async def test_what_is_no_command_is_refused_and_the_next_one_works():
    wrong = (
        b"hello\n", b"[1]\n", b'{"do": 1}\n', b'{"id": 1}\n', b"{\n", b'{"do": "hello"\n', b"\xff\xfe{}\n", b"null\n",
        b'{"do": "fly", "id": 1}\n', b'{"do": "hello", "id": "x"}\n', b'{"do": "hello", "id": true}\n',
        b"[" * 3000 + b"\n",
    )  # fmt: skip
    async with Bench() as bench:
        for data in wrong:
            replies = await bench.ask(data, 2000)
            assert len(replies) == 1 and replies[0]["ok"] is False, (data[:20], replies)
            assert replies[0]["error_kind"] == errors.PROTOCOL and replies[0]["text"], replies
        assert (await bench.ask({"do": "hello"}))[0]["ok"]


@stepped()
async def test_a_long_line_is_refused_once_and_skipped():
    async with Bench() as bench:
        replies = await bench.ask(
            b'{"do": "hello", "x": "' + b"x" * 9000 + b'"}\n' + b'{"do": "hello", "id": 2}\n', 3000
        )
        assert [reply["ok"] for reply in replies] == [False, True]
        assert "4096" in replies[0]["text"]


@stepped()
async def test_the_trace_comes_in_pieces():
    async with Bench() as bench:
        replies = await bench.ask({"do": "trace", "id": 3})
        assert [reply["more"] for reply in replies] == [True, True, False]
        assert [line for reply in replies for line in reply["lines"]] == bench.device.lines
        bench.device.lines = []
        (reply,) = await bench.ask({"do": "trace"})
        assert reply["lines"] == [] and reply["more"] is False


@stepped()
async def test_a_restart_is_answered_before_it_happens():
    async with Bench() as bench:
        (reply,) = await bench.ask({"do": "restart", "id": 1})
        assert reply["ok"] and bench.device.restarts == 1


@stepped()
async def test_settings_are_changed_through_the_judge():
    async with Bench() as bench:
        (reply,) = await bench.ask({"do": "set", "id": 1, "values": {"token": SECRET}, "dry": True})
        assert reply["changed"] == ["token"] and SECRET not in json.dumps(reply)
        await bench.ask({"do": "reset", "keys": ["mode"]})
        await bench.ask({"do": "reset", "all": True})
        await bench.ask({"do": "mode", "mode": "ptt_hold"})
        assert bench.device.settings.calls == [
            ({"token": SECRET}, (), True), ({}, ["mode"], False), ({}, None, False), ({"mode": "ptt_hold"}, (), False),
        ]  # fmt: skip
        assert bench.device.was_changed == [["token"], ["mode"]]
        assert (await bench.ask({"do": "mode"}))[0]["mode"] == "free"
        assert (await bench.ask({"do": "config"}))[0]["config"] == {"mode": "free"}


@stepped()
async def test_a_volume_is_judged_and_heard_at_once():
    async with Bench() as bench:
        (reply,) = await bench.ask({"do": "volume", "percent": 30})
        assert reply["percent"] == 30 and bench.device.percent == 30 and reply["kept"] is False
        assert bench.device.settings.calls[-1][2] is True, "judged, not written"
        await bench.ask({"do": "volume", "percent": 40, "keep": True})
        assert bench.device.settings.calls[-1] == ({"volume_percent": 40}, (), False)
        (reply,) = await bench.ask({"do": "volume", "percent": 999})
        assert reply["ok"] is False and reply["error_kind"] == errors.CONFIG and bench.device.percent == 40
        assert (await bench.ask({"do": "volume"}))[0]["percent"] == 40


@stepped()
async def test_wrong_members_are_named():
    cases = (
        ({"do": "set"}, "values"), ({"do": "set", "values": []}, "values"),
        ({"do": "set", "values": {}, "dry": 1}, "dry"),
        ({"do": "reset"}, "keys"), ({"do": "reset", "keys": [1]}, "keys"), ({"do": "reset", "all": "yes"}, "all"),
        ({"do": "volume", "percent": "loud"}, "percent"), ({"do": "volume", "percent": True}, "percent"),
        ({"do": "put"}, "path"),
    )  # fmt: skip
    async with Bench() as bench:
        for request, name in cases:
            (reply,) = await bench.ask(request)
            assert reply["ok"] is False and reply["text"].startswith(name + ":"), (request, reply)
        assert bench.device.settings.calls == []


@stepped()
async def test_a_fault_of_ours_is_reported_and_the_port_goes_on():
    async with Bench() as bench:
        bench.device.hello = None
        (bug,) = await bench.ask({"do": "hello", "id": 1})
        assert bug["kind"] == "error" and bug["error_kind"] == "bug" and "TypeError" in bug["text"]
        assert (await bench.ask({"do": "status"}))[0]["ok"]


@stepped()
async def test_no_memory_is_an_answer():
    async with Bench() as bench:
        bench.device.is_broken = True
        (reply,) = await bench.ask({"do": "status", "id": 1})
        assert reply["ok"] is False and "memory" in reply["text"]


@stepped()
async def test_no_memory_for_the_line_itself_is_an_answer_too():
    async with Bench() as bench:
        bench.device.is_broken = False
        await bench.ask({"do": "hello", "id": 1})  # loads the desk

        def refuse(data):
            raise MemoryError

        old = desk._object_of
        desk._object_of = refuse
        try:
            (reply,) = await bench.ask({"do": "status", "id": 1})
        finally:
            desk._object_of = old
        assert reply["kind"] == "reply" and reply["ok"] is False and "memory" in reply["text"]


# Packets


@stepped()
async def test_the_state_is_told_and_a_provisioned_one_with_a_result():
    async with Bench() as bench:
        assert await bench.rpc(improv.GET_STATE) == [NONE, state_packet(improv.READY)]
        bench.device.is_up = True
        assert await bench.rpc(improv.GET_STATE) == [
            NONE, state_packet(improv.PROVISIONED), (improv.RPC_RESULT, b"\x02\x00"),
        ]  # fmt: skip


@stepped()
async def test_the_device_is_described():
    async with Bench() as bench:
        expected = b"\x03\x28\x05Pipit\x011\x03b/c\x07pipit-1\x0bMicroPython\x061.25.0"
        data = (await bench.rpc(improv.GET_INFO))[1][1]
        assert data[2:] == expected[2:] and data[0] == 3 and data[1] == len(data) - 2


@stepped()
async def test_networks_end_with_an_empty_result():
    async with Bench() as bench:
        packets = await bench.rpc(improv.GET_NETWORKS, ms=3000)
        assert packets == [
            NONE, (4, b"\x04\x0e\x05caf\xc3\xa9\x03-40\x03YES"), (4, b"\x04\x0c\x04open\x03-90\x02NO"),
            (4, b"\x04\x00"),
        ]  # fmt: skip
        bench.device.failure = LinkError("no scan now", errors.WIFI)
        assert await bench.rpc(improv.GET_NETWORKS, ms=3000) == [NONE, error_packet(improv.UNKNOWN_ERROR)]


WIFI = b"\x04home\x08password"


@stepped()
async def test_a_network_that_works_is_provisioned():
    async with Bench() as bench:
        packets = await bench.rpc(improv.WIFI_SETTINGS, WIFI, ms=1000)
        assert packets == [NONE, state_packet(improv.PROVISIONING)]
        assert await bench.rpc(improv.GET_STATE) == [NONE, state_packet(improv.PROVISIONING)]
        bench.port.packets.clear()
        await sleep_ms(2000)
        assert bench.port.packets == [state_packet(improv.PROVISIONED), (improv.RPC_RESULT, b"\x01\x00")]
        assert bench.device.joined == [("home", "password")] and bench.device.errors == []


@stepped()
async def test_every_cause_is_unable_to_connect_for_the_client_and_itself_for_the_device():
    async with Bench() as bench:
        for kind in (errors.PASSWORD, errors.NETWORK, errors.ADDRESS, errors.CONFIG):
            bench.device.failure = LinkError("no", kind)
            packets = await bench.rpc(improv.WIFI_SETTINGS, WIFI, ms=4000)
            assert packets == [
                NONE, state_packet(improv.PROVISIONING), state_packet(improv.READY),
                error_packet(improv.UNABLE_TO_CONNECT),
            ]  # fmt: skip
        assert bench.device.errors == [errors.PASSWORD, errors.NETWORK, errors.ADDRESS, errors.CONFIG]


@stepped()
async def test_one_thing_at_a_time():
    async with Bench() as bench:
        await bench.rpc(improv.WIFI_SETTINGS, WIFI, ms=100)
        assert await bench.rpc(improv.WIFI_SETTINGS, WIFI, ms=100) == [NONE, error_packet(improv.UNKNOWN_ERROR)]
        assert await bench.rpc(improv.GET_NETWORKS, ms=100) == [NONE, error_packet(improv.UNKNOWN_ERROR)]
        (reply,) = await bench.ask({"do": "trace"}, 100)
        assert reply["error_kind"] == errors.BUSY
        await sleep_ms(3000)
        assert len(bench.device.joined) == 1
        assert len(await bench.rpc(improv.GET_NETWORKS, ms=3000)) == 4


@stepped()
async def test_packets_that_are_wrong_are_refused():
    async with Bench() as bench:
        bench.port.put(improv.packet(improv.RPC, b"\x02\x05"))
        await sleep_ms(100)
        assert bench.port.packets == [error_packet(improv.INVALID_RPC)]
        assert await bench.rpc(improv.WIFI_SETTINGS, b"\x09home") == [NONE, error_packet(improv.INVALID_RPC)]
        assert await bench.rpc(99) == [NONE, error_packet(improv.UNKNOWN_RPC)]
        assert await bench.rpc(improv.HOSTNAME, b"kitchen") == [NONE, error_packet(improv.BAD_HOSTNAME)]
        assert await bench.rpc(improv.DEVICE_NAME) == [NONE, (4, b"\x06\x08\x07pipit-1")]
        bench.port.packets.clear()
        bench.port.put(improv.packet(improv.CURRENT_STATE, b"\x02"))
        await sleep_ms(100)
        assert bench.port.packets == [], "a device's packet asks for nothing"


@stepped()
async def test_half_a_packet_is_given_up_after_half_a_second():
    async with Bench() as bench:
        bench.port.put(b"IMPROV\x01\x03\x02")
        await sleep_ms(400)
        assert bench.port.packets == []
        await sleep_ms(200)
        assert bench.port.packets == [error_packet(improv.INVALID_RPC)]
        assert await bench.rpc(improv.GET_STATE) == [NONE, state_packet(improv.READY)]


# Ctrl-C


@stepped()
async def test_ctrl_c_ends_and_a_packet_does_not():
    async with Bench() as bench:
        await bench.rpc(improv.GET_INFO)
        assert bench.interrupts == 0
        bench.port.put(b"\r\x03")
        await sleep_ms(50)
        assert bench.interrupts == 1


@stepped()
async def test_ctrl_c_is_seen_while_something_is_being_done():
    async with Bench() as bench:
        await bench.rpc(improv.WIFI_SETTINGS, WIFI, ms=100)
        bench.port.put(b"\x03")
        await sleep_ms(50)
        assert bench.interrupts == 1 and bench.device.joined == []


@stepped()
async def test_a_flood_leaves_time_for_others():
    async with Bench() as bench:
        bench.port.put(b"x" * 4000)
        rounds = 0
        while bench.port.incoming:
            before = len(bench.port.incoming)
            await sleep_ms(4)
            rounds += 1
            assert before - len(bench.port.incoming) <= 128
        assert rounds > 30


# Root certificates

# An EC root made for this test (prime256v1, CN=Pipit test root), as DER.
ROOT = binascii.a2b_base64(
    "MIIBNjCB3qADAgECAgEBMAoGCCqGSM49BAMCMBoxGDAWBgNVBAMMD1BpcGl0IHRlc3Qgcm9vdDAgFw0yNjAxMDEwMDAwMDBaGA8y"
    "MDk1MDEwMTAwMDAwMFowGjEYMBYGA1UEAwwPUGlwaXQgdGVzdCByb290MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8F3pi3+E"
    "0ujmCcLEr8QuHf1EnWXrq4HkACWQDRZFlEW4KxaXwVtcZvTDY96iARCehmsRxXFy4TH46DjWfyvq8aMTMBEwDwYDVR0TAQH/BAUw"
    "AwEB/zAKBggqhkjOPQQDAgNHADBEAiBWvgSoZBj+KvZBehzFjJ0jrE8jsv9V909U0DTUmHVC3AIgTXs2d8qhrAbpF7aUhOEjqlxy"
    "popOvimEQr6dAX1esOI="
)


class Folder:
    """Does its work in an empty folder of its own."""

    def __enter__(self):
        self._old = os.getcwd()
        sys.path[:] = [self._absolute(entry) for entry in sys.path]  # what is still to be imported lies where it lay
        for name in ("firmware", "firmware.serial", "boards"):
            package = sys.modules.get(name)
            if isinstance(getattr(package, "__path__", None), str):  # MicroPython
                package.__path__ = self._absolute(package.__path__)
        self._path = "/tmp/pipit-serial-%d" % id(self)
        os.mkdir(self._path)
        os.chdir(self._path)
        return self

    def _absolute(self, path):
        return path if path[:1] == "/" else self._old + "/" + path

    def __exit__(self, kind, error, trace):
        os.chdir(self._old)
        remove_tree(self._path)


def remove_tree(path):
    for name in os.listdir(path):
        full = path + "/" + name
        if os.stat(full)[0] & 0x4000:
            remove_tree(full)
        else:
            os.remove(full)
    os.rmdir(path)


def put_pieces(der, path="tls_roots/a.der", size=200, sha256=None):
    reply = None
    for at in range(0, len(der), size):
        piece = der[at : at + size]
        request = {"path": path, "at": at, "data": binascii.b2a_base64(piece).decode().strip()}
        if at + size >= len(der):
            request["last"] = True
            request["sha256"] = sha256 or binascii.hexlify(hashlib.sha256(der).digest()).decode()
        reply = errands.put(None, request)
    return reply


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_root_arrives_in_pieces_and_stands_when_it_is_whole():
    with Folder():
        assert put_pieces(ROOT) == {"path": "tls_roots/a.der", "size": len(ROOT)}
        assert read("tls_roots/a.der") == ROOT and os.listdir("tls_roots") == ["a.der"]
        assert errands.put(None, {"path": "tls_roots/a.der", "remove": True})["removed"] is True
        assert errands.put(None, {"path": "tls_roots/a.der", "remove": True})["removed"] is False


def test_a_root_that_is_damaged_leaves_the_old_one():
    with Folder():
        put_pieces(ROOT)
        with raises(ConfigError, "sha256"):
            put_pieces(ROOT[:-1] + b"\x00", sha256="00" * 32)
        with raises(ConfigError, "DER"):
            put_pieces(b"\x30\x03abc")
        for before in (0, 1):  # pieces that have come
            if before:
                errands.put(None, {"path": "tls_roots/a.der", "at": 0, "data": "AAAA"})
            with raises(ConfigError, "follow"):
                errands.put(None, {"path": "tls_roots/a.der", "at": 100, "data": "AAAA"})
            assert os.listdir("tls_roots") == ["a.der"], "nothing of it takes room"
        put_pieces(ROOT)
        with raises(ConfigError, "sha256"):
            put_pieces(ROOT, sha256="00" * 32)
        assert read("tls_roots/a.der") == ROOT and os.listdir("tls_roots") == ["a.der"]


def test_roots_go_nowhere_else_and_stay_small():
    with Folder():
        for path in (
            "config.json", "tls_roots/../config.json", "tls_roots/a.der/b.der", "tls_roots/.der", "/tls_roots/a.der",
            "tls_roots/a.txt", "tls_roots/" + "a" * 80 + ".der", "tls_roots/a b.der", "slots/a/main.der",
        ):  # fmt: skip
            with raises(ConfigError, "path"):
                errands.put(None, {"path": path, "at": 0, "data": "AAAA"})
        for data in ("", "!", "A", binascii.b2a_base64(bytes(1025)).decode()):
            with raises(ConfigError, "data"):
                errands.put(None, {"path": "tls_roots/a.der", "at": 0, "data": data})
        for at in (-1, 8192, 1 << 40):
            with raises(ConfigError, "at"):
                errands.put(None, {"path": "tls_roots/a.der", "at": at, "data": "AAAA"})
        assert os.listdir(".") == [], "nothing was made before it was judged"


# The settings file

WHOLE = {"bot_id": "1", "token": SECRET, "board": "sim", "wifi_ssid": "home"}


def settings_of(text=None):
    if text is not None:
        with open("config.json", "w") as file:
            file.write(text if isinstance(text, str) else json.dumps(text))
    return config_edit.Settings("config.json")


def test_settings_are_merged_and_written():
    with Folder():
        settings = settings_of(WHOLE)
        found = settings.change({"mode": "free", "token": SECRET})
        assert found == {"changed": ["mode"], "missing": [], "restart_needed": True, "warnings": []}
        assert json.loads(read("config.json")) == dict(mode="free", **WHOLE)
        assert settings.problem() == "" and os.listdir(".") == ["config.json"]
        assert settings.change({}, ["mode"])["changed"] == ["mode"]
        assert json.loads(read("config.json")) == WHOLE
        assert settings.change({}, None)["missing"] == ["bot_id", "token"]
        assert json.loads(read("config.json")) == {} and "bot_id" in settings.problem()


def test_a_dry_change_and_a_wrong_one_leave_the_file():
    with Folder():
        settings = settings_of(WHOLE)
        before = read("config.json")
        assert settings.change({"mode": "free"}, (), True)["changed"] == ["mode"]
        wrong = (
            {"mode": "loud"}, {"volume_percent": 1000}, {"modus": "free"}, {"board": "none_such"}, {"token": "a b"},
            {"cloud": ["coze"]}, {"asr_hot_words": ["x" * 64] * 100, "parameters": {"a": "x" * 9000}, "stall_ms": 1},
        )  # fmt: skip
        for values in wrong:
            with raises(ConfigError, sorted(values)[-1]):
                settings.change(values)
        with raises(ConfigError, "longer"):
            settings.change({"parameters": {"a": "x" * 17000}})
        assert read("config.json") == before


def test_settings_may_come_one_by_one():
    with Folder():
        settings = settings_of()
        assert settings.change({"wifi_ssid": "home", "wifi_password": "secret wifi"})["missing"] == ["bot_id", "token"]
        assert settings.change({"bot_id": "1"})["missing"] == ["token"]
        assert settings.problem() != ""
        assert settings.change({"token": SECRET})["missing"] == []
        assert settings.problem() == ""


def test_the_board_is_read_out_of_settings_that_are_wrong():
    default = "bread_compact_wifi"
    for text, name in (
        (None, default), ('{"board": "sim", "volume_percent": 900, "tokn": 1}', "sim"), ('{"board": "sim"', default),
        ('{"board": 5}', default), ('{"board": ""}', default), ("[" * 2000, default), ("[1]", default), ("\xff", default),
    ):  # fmt: skip
        with Folder():
            assert settings_of(text).board_name() == name


def test_the_limit_of_the_file_is_one_of_bytes():
    """More, and the next start would take it for no settings at all."""
    with Folder():
        settings = settings_of(WHOLE)
        before = read("config.json")
        with raises(ConfigError, "longer than 16384 bytes"):
            settings.change({"custom_variables": {"v" + "a" * i: "中" * 341 for i in range(17)}})
        assert read("config.json") == before
        settings.change({"custom_variables": {"v" + "a" * i: "中" * 341 for i in range(7)}})
        assert settings.problem() == ""


def test_a_file_that_cannot_be_read_is_not_taken_for_an_empty_one():
    with Folder():
        os.mkdir("config.json")  # stands for a disk that fails
        settings = settings_of()
        for call in (lambda: settings.change({"bot_id": "1"}), settings.read_redacted):
            with raises(OSError):
                call()
        assert settings.board_name() == "bread_compact_wifi" and os.listdir(".") == ["config.json"]


def test_a_file_that_is_none_is_replaced_aloud():
    for text in ("", "{", "[1]", '"x"', "\x00"):
        with Folder():
            settings = settings_of(text)
            found = settings.change({"bot_id": "1", "token": SECRET})
            assert found["changed"] == ["bot_id", "token"] and "lost" in found["warnings"][0]
            assert settings.problem() == ""


def test_secrets_are_never_shown():
    with Folder():
        settings = settings_of(dict(wifi_password="secret wifi", **WHOLE))
        shown = settings.read_redacted()
        assert shown["config"]["board"] == "sim" and shown["config"]["volume_percent"] == 70 and shown["problem"] == ""
        settings = settings_of(
            dict(wifi_password="secret wifi", mode="loud", cloud_url="wss://a?key=" + SECRET, tokn=SECRET, **WHOLE)
        )
        shown_wrong = settings.read_redacted()
        assert shown_wrong["config"]["mode"] == "loud" and "mode" in shown_wrong["problem"]
        settings = settings_of(dict(WHOLE, bot_id=SECRET, token="1"))
        shown_pasted = settings.read_redacted()
        assert "bot_id" in shown_pasted["problem"]
        for text in (json.dumps(shown), json.dumps(shown_wrong), json.dumps(shown_pasted)):
            assert SECRET not in text and "secret wifi" not in text
        with raises(ConfigError) as refused:
            settings.change({"token": SECRET + " x"})
        assert SECRET not in refused.error.text
        settings_of({"wifi_ssid": "home"})
        shown = settings.read_redacted()
        assert shown["missing"] == ["bot_id", "token"] and shown["config"]["token"] == ""


def test_nothing_of_the_judge_stays_in_memory():
    from firmware import host_device

    with Folder():
        host_device._Settings("config.json").change({"bot_id": "1"})
        for name in ("config_edit", "config_rules", "config_table"):
            assert "firmware." + name not in sys.modules
