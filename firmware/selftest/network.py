"""Self-test of the way to the agent, step by step: what is in the air, Wi-Fi, clock, TLS, token and agent."""

import asyncio

from .. import compat, connector, errors, events, trace as traces
from ..clouds import coze
from ..compat import const, ticks_diff
from ..net import clock as clocks, link, stream, wifi as stations
from .bench import Failed, Skipped

_WEAK_DBM = const(-75)
_SETTLE_MS = const(100)
_RSSI = const(3)  # place in a tuple of WLAN.scan()


async def scan(bench):
    """The configured network is in the air, and strong enough."""
    wlan = bench.wlan()
    if not wlan.isconnected():
        wlan.disconnect()  # a station that joins hears nothing
        await bench.ports.sleep_ms(_SETTLE_MS)
    networks = wlan.scan()
    bench.figures["networks"] = len(networks)
    if not networks:
        raise Failed("no network in the air: check the antenna, and that there is one on 2.4 GHz")
    config = bench.need_config()
    if not config.wifi_ssid:
        raise Skipped("wifi_ssid is not set")
    own = [network[_RSSI] for network in networks if network[0] == config.wifi_ssid.encode()]
    if not own:
        raise Failed("the network of wifi_ssid is not in the air: check its name, the distance, and that it is 2.4 GHz")
    bench.figures["rssi_dbm"] = max(own)
    if max(own) < _WEAK_DBM:
        raise Failed("its signal is %d dBm, weaker than %d: move closer, or turn the antenna" % (max(own), _WEAK_DBM))


def _station(bench):
    return stations.Wifi(bench.wlan(), bench.ports, _trace(bench))


def _trace(bench):
    return traces.Trace(bench.ports.ticks_ms, 8)


async def wifi(bench):
    """The station joins the network and gets an address."""
    config = bench.need_config()
    if not config.wifi_ssid:
        raise Skipped("wifi_ssid is not set")
    began_ms = bench.ports.ticks_ms()
    await _station(bench).up(config.wifi_ssid, config.wifi_password, config.wifi_timeout_ms)
    bench.figures["joined_after_ms"] = ticks_diff(bench.ports.ticks_ms(), began_ms)
    bench.figures["address"] = bench.wlan().ifconfig()[0]


def _need_wifi(bench):
    config = bench.need_config()
    if not bench.wlan().isconnected():
        raise Skipped("there is no Wi-Fi")
    return config


async def clock(bench):
    """The time server answers, and the clock is plausible afterwards."""
    config = _need_wifi(bench)
    began_ms = bench.ports.ticks_ms()
    await clocks.ensure(bench.ports, bench.settime, config.clock_timeout_ms, config.ntp_host)
    bench.figures["set_after_ms"] = ticks_diff(bench.ports.ticks_ms(), began_ms)
    bench.figures["unix_s"] = bench.ports.unix_s()


async def tls(bench):
    """The agent's host has an address, takes a connection, and its certificate is signed by a stored root."""
    config = _need_wifi(bench)
    is_tls, host, port, _ = stream.split_url(config.cloud_url)
    context = stream.tls_context(config.tls_roots, config.tls_verify) if is_tls else None
    began_ms = bench.ports.ticks_ms()
    address = bench.ports.resolve(host, port)
    bench.figures["dns_ms"] = ticks_diff(bench.ports.ticks_ms(), began_ms)
    began_ms = bench.ports.ticks_ms()
    longest_ms = [0]
    watching = asyncio.create_task(_watch_loop(bench.ports, longest_ms))
    handshake = compat.tls_handshake
    compat.tls_handshake = lambda io: _note_stack(bench.figures) or handshake(io)
    try:
        connection = await bench.ports.connect(address, host, context, config.connect_timeout_ms)
    finally:
        compat.tls_handshake = handshake
        watching.cancel()
    connection.close()
    bench.figures["connected_after_ms"] = ticks_diff(bench.ports.ticks_ms(), began_ms)
    # The handshake computes; a question that is recorded meanwhile has the microphone's DMA alone.
    bench.figures["longest_standstill_ms"] = longest_ms[0]
    bench.figures["is_verified"] = is_tls and config.tls_verify


def _note_stack(figures):
    """How much of the stack (16 KB on an ESP32) is in use where mbedTLS begins to compute; not on CPython."""
    try:
        from micropython import stack_use
    except ImportError:
        return
    figures["handshake_stack_bytes"] = max(stack_use(), figures.get("handshake_stack_bytes", 0))


async def _watch_loop(ports, longest_ms):
    """Keep in longest_ms[0] how long the loop took at most to come round."""
    last_ms = ports.ticks_ms()
    while True:
        await ports.sleep_ms(1)
        now_ms = ports.ticks_ms()
        longest_ms[0] = max(longest_ms[0], ticks_diff(now_ms, last_ms))
        last_ms = now_ms


async def agent(bench):
    """The cloud takes the token, and the agent takes the speaker's settings."""
    config = _need_wifi(bench)
    caller = _Caller(bench, config)
    began_ms = bench.ports.ticks_ms()
    limit_ms = config.clock_timeout_ms + 2 * config.connect_timeout_ms
    try:
        while caller.error is None and not caller.is_ready:
            if ticks_diff(bench.ports.ticks_ms(), began_ms) > limit_ms:
                raise Failed("the agent does not answer within %d ms: try again" % limit_ms)
            await bench.ports.sleep_ms(20)
    finally:
        await caller.connector.shut_down()
    if not caller.is_ready:
        raise Failed(caller.error.text)
    bench.figures["ready_after_ms"] = ticks_diff(bench.ports.ticks_ms(), began_ms)


class _NoUplink:
    """Nothing is said during the test."""

    frame_bytes = abort_count = 0

    def __init__(self):
        self.ready = asyncio.Event()

    def next(self):
        self.ready.clear()
        return 0


class _Caller:
    """In the place of the session: connects with the speaker's own connector and notes what becomes of it."""

    def __init__(self, bench, config):
        self.is_ready = False
        self.error = None
        self._ports = bench.ports
        self._trace = _trace(bench)
        self._config = config
        self._cloud = coze.Coze(config, user_id="pipit-selftest")
        self.connector = connector.Connector(
            config, bench.ports, self._trace, self._cloud, _station(bench), bench.settime, lambda: True,
            self._new_link, self._on_lost,
        )  # fmt: skip
        self.connector.start()

    def _new_link(self):
        return link.Link(self._config, self._ports, self._trace, _NoUplink(), self._cloud, self, None)

    def _on_lost(self, event, error):
        self.error = self.error or error

    def receive(self, buf, start, n):
        event = self._cloud.receive(buf, start, n, self._ports.ticks_ms())
        if self._cloud.reply is not None:
            self.connector.send(self._cloud.reply)
        if event == events.LINK_READY:
            self.is_ready = True
        elif event in (events.LINK_LOST, events.FAILED):
            self.error = self._cloud.error or errors.LinkError("the agent refused without a reason")
        return False
