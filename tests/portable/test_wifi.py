"""Bringing Wi-Fi up against a driver that behaves as the ESP32 port's does: its reasons outlive their attempt."""

import asyncio

import check
from check import now_ms, run_stepped

from firmware.compat import ticks_add, ticks_diff
from firmware.errors import LinkError
from firmware.net.wifi import Wifi
from firmware.trace import Trace

IDLE, CONNECTING, GOT_IP = 1000, 1001, 1010
PASSWORD = "open sesame"


class WLAN:
    """network.WLAN of the ESP32: `tries` says how each attempt of the driver ends, the last entry for ever.

    0 gives an address, any other number is the reason of a failure, "no lease" admits the station without an address.
    An attempt takes try_ms. As in ports/esp32/network_wlan.c, the reason is forgotten by success alone.
    """

    PM_NONE = 0

    def __init__(self, tries, try_ms=1500):
        self.tries = list(tries)
        self.try_ms = try_ms
        self.settings = {}
        self.is_active = False
        self.calls = []
        self.refusals = 0  # how many connect() the driver refuses
        self.reason = 0
        self.is_wanted = False
        self.is_associated = False
        self._is_connected = False
        self._began_ms = None
        self._failed = 0

    def active(self, is_active=None):
        if is_active is None:
            return self.is_active
        self.calls.append("active %s" % is_active)
        self.is_active = is_active

    def config(self, **settings):
        assert self.is_active
        self.settings.update(settings)

    def connect(self, ssid, password=None):
        assert self.is_active
        self.calls.append(("connect", ssid, password))
        if self.refusals:
            self.refusals -= 1
            raise OSError("Wifi Internal State Error")
        self.is_wanted = True
        self._failed = 0
        self._began_ms = now_ms()

    def disconnect(self):
        self.calls.append("disconnect")
        self.is_wanted = False
        self._is_connected = False
        self._began_ms = None
        self.reason = 8  # "left"

    def ifconfig(self):
        return ("192.168.4.2", "", "", "")

    def scan(self):
        # The driver refuses while the station joins, and the port makes an empty list of that.
        return [] if self.is_wanted and not self._is_connected else self.found

    def drop(self):
        """The access point goes away; the driver looks for it again."""
        self._is_connected = False
        self.reason = 200
        self._began_ms = now_ms()

    def _follow(self):
        while self._began_ms is not None and ticks_diff(now_ms(), self._began_ms) >= self.try_ms:
            self._began_ms = ticks_add(self._began_ms, self.try_ms)
            outcome = self.tries.pop(0) if len(self.tries) > 1 else self.tries[0]
            if outcome == 0:
                self._is_connected, self._began_ms, self.reason = True, None, 0
            elif outcome == "no lease":
                self.is_associated, self._began_ms = True, None
            else:
                self.reason = outcome
                self._failed += 1
                if self._failed > self.settings.get("reconnects", 1 << 20):
                    self._began_ms = None

    def isconnected(self):
        self._follow()
        return self._is_connected

    def status(self, what=None):
        self._follow()
        if what == "rssi":
            if not self.is_associated:
                raise OSError("Wifi Not Connected")
            return -60
        if self._is_connected:
            return GOT_IP
        if self.reason in (201, 202, 210, 211, 212):
            return self.reason
        if self.reason == 205:
            return 202
        if self.reason == 8:
            return IDLE
        if self.is_wanted and self._failed <= self.settings.get("reconnects", 1 << 20):
            return CONNECTING
        return self.reason or IDLE


def bring_up(wlan, ssid="home", password=PASSWORD, timeout_ms=15000):
    """Returns (ms it took, the LinkError or None)."""

    async def main():
        wifi = Wifi(wlan, check.ports(), Trace(now_ms))
        began_ms = now_ms()
        error = None
        try:
            await wifi.up(ssid, password, timeout_ms)
            assert wifi.is_up
        except LinkError as failure:
            error = failure
            assert not wifi.is_up and not wlan.is_wanted
            assert error.kind in ("wifi", "password", "network", "address") and PASSWORD not in error.text
        return ticks_diff(now_ms(), began_ms), error

    return run_stepped(main, start_ms=-700)


def test_the_network_comes_up():
    wlan = WLAN([0])
    took_ms, error = bring_up(wlan)
    assert error is None and 1600 <= took_ms <= 1650, took_ms
    assert wlan.calls == ["active True", "disconnect", ("connect", "home", PASSWORD)]
    assert wlan.settings["pm"] == 0, "power saving delays every packet"


def test_a_first_failure_is_forgiven():
    took_ms, error = bring_up(WLAN([202, 0]))
    assert error is None and 3100 <= took_ms <= 3150


def test_the_reason_of_an_earlier_attempt_is_not_believed():
    for reason in (201, 202):
        wlan = WLAN([0], try_ms=5000)
        wlan.reason = reason
        took_ms, error = bring_up(wlan)
        assert error is None and took_ms >= 5000


def test_a_wrong_password_is_told_before_the_time_is_over():
    took_ms, error = bring_up(WLAN([202]))
    assert 'Wi-Fi "home": wrong password' in error.text and error.errno == 202
    assert 7500 <= took_ms <= 7600  # 1.5 s to the first refusal, which then stands for 6 s


def test_each_reason_has_its_words():
    for reason, words in (
        (2, "wrong password"), (15, "password exchange"), (200, "signal"), (201, "network not found"),
        (202, "wrong password"), (203, "did not admit"), (204, "password exchange"), (205, "wrong password"),
        (210, "encryption"), (212, "signal"), (39, "status 39"),
    ):  # fmt: skip
        _, error = bring_up(WLAN([reason]))
        assert words in error.text, (reason, error.text)
        kind = "password" if "password" in words else "network" if "not found" in words else "wifi"
        assert error.kind == kind, (reason, error.kind)


def test_a_reason_that_hides_while_the_driver_retries_is_found():
    wlan = WLAN([15], try_ms=1500)
    took_ms, error = bring_up(wlan)
    assert error.errno == 15 and took_ms < 15000


def test_no_address():
    took_ms, error = bring_up(WLAN(["no lease"]))
    assert error.kind == "address" and "no address" in error.text and "DHCP" in error.text and 15000 <= took_ms <= 15100


def test_a_station_that_was_told_to_leave_is_left_again_though_it_calls_itself_idle():
    for tries in (["no lease"], [0]):
        wlan = WLAN(tries, try_ms=9000)
        wlan.reason = 8  # of an earlier disconnect(); the driver forgets it with the next failure or success only
        _, error = bring_up(wlan, timeout_ms=3000)  # asserts that nothing goes on behind our back
        assert error is not None and wlan.calls[-1] == "disconnect"


def test_nothing_happens_in_time():
    took_ms, error = bring_up(WLAN([0], try_ms=60000), timeout_ms=3000)
    assert "no answer in time" in error.text and 3000 <= took_ms <= 3100


def test_the_newest_reason_is_told():
    _, error = bring_up(WLAN([201, 201, 202, 202, 202, 202, 202, 202], try_ms=900))
    assert error.errno == 202


def test_up_again_does_nothing_while_it_is_up():
    async def main():
        wlan = WLAN([0])
        wifi = Wifi(wlan, check.ports(), Trace(now_ms))
        await wifi.up("home", PASSWORD, 15000)
        calls, before_ms = len(wlan.calls), now_ms()
        await wifi.up("home", PASSWORD, 15000)
        assert len(wlan.calls) == calls and now_ms() == before_ms
        await wifi.up("office", PASSWORD, 15000)
        assert wlan.calls[calls:] == ["active True", "disconnect", ("connect", "office", PASSWORD)]

    run_stepped(main)


def test_a_lost_network_is_brought_up_again():
    async def main():
        wlan = WLAN([0])
        wifi = Wifi(wlan, check.ports(), Trace(now_ms))
        await wifi.up("home", PASSWORD, 15000)
        wlan.drop()
        assert not wifi.is_up
        await wifi.up("home", PASSWORD, 15000)
        assert wifi.is_up

    run_stepped(main)


def test_a_cancelled_attempt_leaves_nothing_running():
    async def main():
        wlan = WLAN([0], try_ms=5000)
        wifi = Wifi(wlan, check.ports(), Trace(now_ms))
        task = asyncio.create_task(wifi.up("home", PASSWORD, 15000))
        await check.compat.sleep_ms(1000)
        task.cancel()
        try:
            await task
            assert False, "the cancellation was swallowed"
        except asyncio.CancelledError:
            pass
        assert wlan.calls[-1] == "disconnect" and not wlan.is_wanted
        await wifi.up("home", PASSWORD, 15000)

    run_stepped(main)


class LateWLAN(WLAN):
    """The driver's task tells of a disconnect a little later than disconnect() returns."""

    def disconnect(self):
        WLAN.disconnect(self)
        self.reason = 0


def test_a_cancelled_attempt_does_not_end_the_one_that_took_its_place():
    async def main():
        wlan = LateWLAN([0], try_ms=5000)
        wifi = Wifi(wlan, check.ports(), Trace(now_ms))
        task = asyncio.create_task(wifi.up("old", PASSWORD, 15000))
        await check.compat.sleep_ms(1000)
        task.cancel()  # it ends at the next turn of the loop: later than this one begins
        wifi.leave()
        await wifi.up("new", PASSWORD, 15000)
        assert wifi.details()[0] == "new" and wlan.calls[-1] == ("connect", "new", PASSWORD)

    run_stepped(main)


def test_a_stuck_driver_is_restarted_once():
    wlan = WLAN([0])
    wlan.refusals = 1
    _, error = bring_up(wlan)
    assert error is None and wlan.calls[3:5] == ["active False", "active True"]
    wlan = WLAN([0])
    wlan.refusals = 2
    took_ms, error = bring_up(wlan)
    assert "takes no order (Wifi Internal State Error)" in error.text and took_ms < 200


def test_no_network_is_named():
    wlan = WLAN([0])
    _, error = bring_up(wlan, ssid="", password="")
    assert error is None and wlan.calls[-1] == ("connect", "", None)  # the simulated board has one without a name
    wlan = WLAN([201])
    _, error = bring_up(wlan, ssid="", password="")
    assert "write wifi_ssid" in error.text


def test_an_open_network_gets_no_password():
    wlan = WLAN([0])
    bring_up(wlan, password="")
    assert wlan.calls[-1] == ("connect", "home", None)


def test_a_port_without_the_comforts():
    class Plain(WLAN):
        def config(self, **settings):
            raise ValueError("unknown config param")

    assert bring_up(Plain([0]))[1] is None


def test_a_radio_that_does_not_start():
    class Dead(WLAN):
        def active(self, is_active=None):
            raise OSError(257, "WiFi Out of Memory")

    _, error = bring_up(Dead([0]))
    assert "the radio does not start" in error.text and error.errno == 257


def test_a_scan_is_told_as_a_person_wants_it():
    wlan = WLAN([0])
    wlan.found = [
        (b"weak", b"", 1, -90, 3, False), (b"home", b"", 1, -70, 3, False), (b"home", b"", 6, -40, 3, False),
        (b"", b"", 1, -20, 3, True), (b"\xff\xfe", b"", 1, -20, 3, False), (b"\0\0", b"", 1, -20, 3, False),
        ("caf\xe9".encode(), b"", 1, -60, 0, False),
    ]  # fmt: skip
    wifi = Wifi(wlan, check.ports(), Trace(now_ms))
    assert wifi.scan() == [("home", -40, False), ("caf\xe9", -60, True), ("weak", -90, False)]
    assert wlan.is_active
    wlan.found = []
    assert wifi.scan() == [], "there may be none"


def test_a_scan_while_the_station_joins_says_so():
    async def main():
        wlan = WLAN([0], try_ms=9000)
        wlan.found = [(b"home", b"", 6, -40, 3, False)]
        wifi = Wifi(wlan, check.ports(), Trace(now_ms))
        task = asyncio.create_task(wifi.up("home", PASSWORD, 15000))
        await check.compat.sleep_ms(1000)
        with check.raises(LinkError, "try again"):
            wifi.scan()
        wifi.leave()
        assert wifi.scan() == [("home", -40, False)], "left, it listens"
        task.cancel()

    run_stepped(main)


def test_the_self_test_listens_though_a_station_joins():
    from firmware.selftest import network

    class Bench:
        figures = {}
        wifi_ssid = "home"

        def need_config(self):
            return self

    wlan = WLAN([0], try_ms=60_000)
    wlan.found = [(b"home", b"", 6, -40, 3, False)]
    wlan.active(True)
    wlan.connect("home", PASSWORD)
    bench = Bench()
    bench.wlan = lambda: wlan
    bench.ports = check.ports()
    run_stepped(lambda: network.scan(bench))
    assert bench.figures["networks"] == 1 and bench.figures["rssi_dbm"] == -40


def test_a_radio_that_does_not_scan_says_why():
    class Off(WLAN):
        def scan(self):
            raise OSError("STA must be active")

    with check.raises(LinkError, "STA must be active"):
        Wifi(Off([0]), check.ports(), Trace(now_ms)).scan()


def test_details_are_those_of_the_network_that_is_up():
    async def main():
        wlan = WLAN([0])
        wifi = Wifi(wlan, check.ports(), Trace(now_ms))
        assert wifi.details() == ("", "", 0)
        await wifi.up("home", PASSWORD, 15000)
        assert wifi.details() == ("home", "192.168.4.2", 0), "a driver that tells no signal"
        wlan.is_associated = True
        assert wifi.details() == ("home", "192.168.4.2", -60)
        wifi.leave()
        assert wifi.details() == ("", "", 0) and not wlan.is_wanted
        await wifi.up("home", PASSWORD, 15000)
        assert len([call for call in wlan.calls if call[0] == "connect"]) == 2, "left, it is joined anew"
        wlan.disconnect = lambda: None  # a driver that tells it later
        wifi.leave()
        await wifi.up("home", PASSWORD, 15000)
        assert len([call for call in wlan.calls if call[0] == "connect"]) == 3

    run_stepped(main)
