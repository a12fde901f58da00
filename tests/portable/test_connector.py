"""The connection's policy: order of the steps, the kept address, stale attempts, errors and their retry."""

from check import now_ms, ports, run_stepped

from firmware import config, connector, errors, events, trace
from firmware.net import link


class Wifi:
    def __init__(self, log, error=None):
        self.log = log
        self.error = error
        self.is_up = True

    async def up(self, ssid, password, timeout_ms):
        self.log.append("wifi")
        await ports().sleep_ms(100)
        if self.error:
            raise self.error


class Cloud:
    def request(self):
        return "wss://cloud.test/v1/chat?bot_id=1", {"Authorization": "Bearer t"}

    def opened(self):
        return b"update"

    def refused(self, status, log_id):
        return errors.CloudError("HTTP %d" % status, errors.TOKEN, status, log_id)


class FakeLink:
    """open and run as told; `log` holds what happened to it."""

    def __init__(self, log, open_error=None, ends_after_ms=0, end=None):
        self.log = log
        self.open_error = open_error
        self.ends_after_ms = ends_after_ms
        self.end = end
        self.audio_allowed = False

    def allow_audio(self, is_allowed):
        self.audio_allowed = is_allowed

    async def open(self, address, host, port, path, headers, tls):
        self.log.append("open %s %s:%d%s" % (address, host, port, path))
        await ports().sleep_ms(50)
        if self.open_error:
            raise self.open_error

    async def run(self):
        await ports().sleep_ms(self.ends_after_ms or 1_000_000)
        return self.end

    def send(self, message):
        self.log.append(message.decode())

    def close(self):
        self.log.append("close")
        return self._closed()

    async def _closed(self):
        await ports().sleep_ms(10)


class Bench:
    """A Connector among fakes. links: what each attempt gets, in order."""

    def __init__(self, links=(), wifi_error=None, is_quiet=lambda: True, **settings):
        self.log = []
        self.lost = []
        self.wifi = Wifi(self.log, wifi_error)
        self.links = [FakeLink(self.log, **options) for options in links]
        text = '{"bot_id": "1", "token": "t", "tls_verify": false}'
        self.connector = connector.Connector(
            config.parse(text), ports(resolve=self.resolve), trace.Trace(now_ms), Cloud(), self.wifi, None, is_quiet,
            lambda: self.links.pop(0), self.on_lost,
        )  # fmt: skip

    def resolve(self, host, port):
        self.log.append("resolve")
        return "address"

    def on_lost(self, event, error):
        assert event == events.LINK_LOST
        self.lost.append((now_ms(), error))


def test_the_steps_come_in_order_and_the_configuration_is_the_first_message():
    bench = Bench([{}])

    async def main():
        bench.connector.start()
        await ports().sleep_ms(500)
        assert bench.connector.is_starting and not bench.connector.is_up
        bench.connector.ready()

    run_stepped(main)
    assert bench.log == ["wifi", "resolve", "open address cloud.test:443/v1/chat?bot_id=1", "update"]
    assert bench.connector.is_up and bench.lost == []


def test_the_address_is_kept_over_a_lost_connection_and_given_up_when_it_fails():
    gone = errors.LinkError("gone")
    bench = Bench([{"ends_after_ms": 100, "end": gone}, {"open_error": gone}, {}])

    async def main():
        for _ in range(3):
            bench.connector.start()
            await ports().sleep_ms(1000)

    run_stepped(main)
    assert [step.split(" ")[0] for step in bench.log] == [
        "wifi", "resolve", "open", "update", "close",
        "wifi", "open", "close",
        "wifi", "resolve", "open", "update",
    ]  # fmt: skip
    assert [error for _, error in bench.lost] == [gone, gone]


def test_a_look_up_waits_until_nobody_would_hear_it():
    quiet_from_ms = 3000
    bench = Bench([{}], is_quiet=lambda: now_ms() >= quiet_from_ms)

    async def main():
        bench.connector.start()
        await ports().sleep_ms(2900)
        assert "resolve" not in bench.log
        await ports().sleep_ms(300)

    run_stepped(main)
    assert "resolve" in bench.log


def test_while_somebody_speaks_an_old_address_is_tried_rather_than_none():
    quiet = [True]
    bench = Bench([{"open_error": errors.LinkError("refused")}, {}], is_quiet=lambda: quiet[0])

    async def main():
        bench.connector.start()
        await ports().sleep_ms(1000)
        quiet[0] = False
        bench.connector.start()
        await ports().sleep_ms(1000)

    run_stepped(main)
    assert [step.split(" ")[0] for step in bench.log] == ["wifi", "resolve", "open", "close", "wifi", "open", "update"]


def test_an_attempt_that_was_stopped_is_never_heard_of_again():
    bench = Bench([{"ends_after_ms": 500, "end": errors.LinkError("late")}, {}])

    async def main():
        bench.connector.start()
        await ports().sleep_ms(300)
        bench.connector.start()
        await ports().sleep_ms(3000)

    run_stepped(main)
    assert bench.lost == []
    assert bench.log.count("close") == 1


def test_a_refused_handshake_becomes_the_clouds_error():
    import ws_protocol

    refusal = link.Refused(ws_protocol.WSRefused(401, "Unauthorized", "", {"x-tt-logid": "log1"}), ())
    bench = Bench([{"open_error": refusal}])

    async def main():
        bench.connector.start()
        await ports().sleep_ms(500)

    run_stepped(main)
    (_, error), = bench.lost
    assert error.kind == errors.TOKEN and error.code == 401 and error.log_id == "log1"
    assert bench.connector.retry_delay_ms() > 60_000  # a person has to act first


def test_no_wifi_is_reported_and_a_vanished_one_ends_the_connection():
    none = errors.LinkError("no such network", errors.WIFI)
    bench = Bench([], wifi_error=none)

    async def main():
        bench.connector.start()
        await ports().sleep_ms(500)
        assert bench.lost[0][1] is none
        bench.wifi.error = None
        bench.links.append(FakeLink(bench.log))
        bench.connector.start()
        await ports().sleep_ms(500)
        bench.wifi.is_up = False
        bench.connector.check()
        assert bench.lost[1][1].kind == errors.WIFI
        bench.connector.check()
        await ports().sleep_ms(500)

    run_stepped(main)
    assert len(bench.lost) == 2 and bench.log[-1] == "close"


def test_a_cloud_that_never_accepts_the_settings_is_left():
    """Presses meanwhile must not keep such a connection: storm seed 5001, no_updated."""
    bench = Bench([{}])
    limit_ms = config.parse('{"bot_id": "1", "token": "t"}').connect_timeout_ms

    async def main():
        bench.connector.start()
        await ports().sleep_ms(500)
        bench.connector.check()
        await ports().sleep_ms(limit_ms - 500)
        bench.connector.check()
        assert bench.lost == [], "it has its time from the handshake on"
        await ports().sleep_ms(500)
        bench.connector.check()

    run_stepped(main)
    assert [error.kind for _, error in bench.lost] == [errors.TIMEOUT] and bench.log[-1] == "close"


def test_an_accepted_connection_is_kept_however_long():
    bench = Bench([{}])

    async def main():
        bench.connector.start()
        await ports().sleep_ms(500)
        bench.connector.ready()
        await ports().sleep_ms(60_000)
        bench.connector.check()

    run_stepped(main)
    assert bench.lost == []


def test_an_orderly_close_by_the_cloud_is_a_lost_connection_too():
    bench = Bench([{"ends_after_ms": 100, "end": None}])

    async def main():
        bench.connector.start()
        await ports().sleep_ms(500)

    run_stepped(main)
    assert bench.lost[0][1].kind == errors.CONNECT


def test_messages_without_a_connection_are_dropped():
    bench = Bench([])
    bench.connector.send(b"x")
    assert bench.log == []


def test_a_delayed_start_waits_and_can_be_overtaken():
    bench = Bench([{}])

    async def main():
        bench.connector.start_after(5000)
        await ports().sleep_ms(1000)
        assert bench.log == [] and not bench.connector.is_starting  # a press need not wait for it
        bench.connector.start()
        await ports().sleep_ms(300)
        assert "update" in bench.log

    run_stepped(main)


def test_a_fault_of_our_own_ends_the_connection_and_is_reported():
    import json

    from firmware import report

    lines = []
    report.sink = lambda line: lines.append(json.loads(line))
    bench = Bench([{}])

    async def crash():
        raise MemoryError("no block of that size")

    bench.links[0].run = crash

    async def main():
        bench.connector.start()
        await ports().sleep_ms(500)

    run_stepped(main)
    assert len(bench.lost) == 1 and not bench.connector.is_up and not bench.connector.is_starting
    assert bench.log[-1] == "close"
    assert "MemoryError" in lines[-1]["text"]


def test_the_clock_is_asked_only_when_nobody_would_hear_it():
    asked_ms = []

    def settime():
        asked_ms.append(now_ms())

    bench = Bench([{}], is_quiet=lambda: now_ms() >= 3000)
    bench.connector._config.tls_verify = True
    bench.connector._settime = settime
    bench.connector._tls = "a context"
    bench.connector._ports.unix_s = lambda: 1_800_000_000 if asked_ms else 946_684_800

    async def main():
        bench.connector.start()
        await ports().sleep_ms(4000)

    run_stepped(main)
    assert len(asked_ms) == 1 and asked_ms[0] >= 3000
    assert "update" in bench.log


def test_a_pause_gives_up_what_goes_on_and_holds_back_what_is_wanted():
    bench = Bench([{}, {}])

    async def main():
        bench.connector.start()
        await ports().sleep_ms(500)
        bench.connector.ready()
        bench.connector.pause()
        assert not bench.connector.is_up and len(bench.lost) == 1
        before = len(bench.log)
        bench.connector.start()
        await ports().sleep_ms(5000)
        assert bench.log[before:] == [] or bench.log[before:] == ["close"]
        bench.connector.resume()
        await ports().sleep_ms(500)
        assert bench.log[-2:] == ["open address cloud.test:443/v1/chat?bot_id=1", "update"]
        assert bench.connector.is_starting

    run_stepped(main)
    assert len(bench.lost) == 1 and bench.lost[0][1].kind == errors.WIFI


def test_a_pause_leaves_a_planned_attempt_to_its_time():
    bench = Bench([{}])

    async def main():
        bench.connector.start_after(1000)
        bench.connector.pause()
        await ports().sleep_ms(3000)
        assert bench.log == [] and bench.lost == [] and not bench.connector.is_starting
        bench.connector.resume()
        await ports().sleep_ms(500)
        assert bench.connector.is_starting and bench.log[0] == "wifi"

    run_stepped(main)
