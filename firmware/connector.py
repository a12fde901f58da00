"""Makes the one connection and keeps its policy: Wi-Fi, clock, address, TLS, WebSocket, our configuration.

One attempt is one task. The session orders start, start_after and stop; it hears LINK_READY from the cloud's protocol
and LINK_LOST from here, never from an attempt that was stopped.
"""

from . import errors, events, tasks, trace as tr
from .compat import const, ticks_diff
from .net import clock, link, retry, stream

_QUIET_POLL_MS = const(20)


class Connector:
    """cloud: firmware/clouds/*; wifi: net.wifi.Wifi; settime: sets the machine's clock from NTP (blocks);
    is_quiet(): True while nothing is recorded for a question and nothing is played, so that the loop may block;
    new_link() makes a net.link.Link; on_lost(event, error).
    """

    def __init__(self, config, ports, trace, cloud, wifi, settime, is_quiet, new_link, on_lost):
        self._config = config
        self._ports = ports
        self._trace = trace
        self._cloud = cloud
        self._wifi = wifi
        self._settime = settime
        self._is_quiet = is_quiet
        self._new_link = new_link
        self._on_lost = on_lost
        self._backoff = retry.Backoff(config.retry_min_ms, config.retry_max_ms, ports.random_bytes)
        self._tls = None
        self._address = None
        self._is_address_old = False  # the last attempt with it failed
        self._attempt = None  # the task
        self._is_waiting = False  # that task has not begun: it sleeps until its time has come
        self._is_paused = False
        self._link = None
        self._began_ms = 0
        self._opened_ms = None  # when the link had been opened; None before
        self._last_kind = errors.CONNECT
        self.is_up = False  # the cloud has accepted our configuration

    @property
    def is_starting(self):
        return self._attempt is not None and not self.is_up and not self._is_waiting

    # Orders

    def start(self):
        """Connect now, instead of whatever was planned."""
        self.start_after(0)

    def start_after(self, delay_ms):
        self.stop()
        self._is_waiting = delay_ms > 0
        self._attempt = tasks.spawn(self._run(delay_ms), "connection")

    def pause(self):
        """Nothing is attempted until resume(): somebody else needs the Wi-Fi. What goes on is given up."""
        self._is_paused = True
        if self._attempt is not None and not self._is_waiting:
            self.fail(errors.LinkError("the connection rests while the Wi-Fi is being set up", errors.WIFI))

    def resume(self):
        self._is_paused = False
        self._backoff.reset()

    def stop(self):
        """End the connection or the attempt; nothing more is heard of it."""
        closing = self._let_go()
        if closing is not None:
            tasks.spawn(closing, "close")

    async def shut_down(self):
        """stop() that returns when the connection has closed in good order, or close_timeout_ms later."""
        closing = self._let_go()
        if closing is not None:
            await closing

    def _let_go(self):
        attempt, self._attempt = self._attempt, None
        self.is_up = False
        old, self._link = self._link, None
        if attempt is not None:
            attempt.cancel()
        return None if old is None else old.close()

    def fail(self, error):
        """The cloud made this connection useless: give it up and report it as lost."""
        self.stop()
        self._lost(error)

    def ready(self):
        """The cloud accepted the configuration: audio may flow."""
        self.is_up = True
        self._backoff.reset()
        self._link.allow_audio(True)
        took_ms = ticks_diff(self._ports.ticks_ms(), self._began_ms)
        self._trace.add(tr.LINK_UP, took_ms)

    def send(self, message):
        """Queue one control message; without a connection it is dropped, because the next one starts afresh."""
        if self._link is not None:
            self._link.send(message)

    def retry_delay_ms(self):
        return self._backoff.delay_ms(self._last_kind)

    def check(self):
        """Called now and then: a connection does not outlive its Wi-Fi, even if TCP has not noticed; nor is one kept of
        which the cloud never accepts our configuration, whatever the session waits for meanwhile.
        """
        if self._link is None:
            return
        if not self._wifi.is_up:
            self.fail(errors.LinkError("Wi-Fi is gone: check the access point", errors.WIFI))
        elif self._opened_ms is not None and not self.is_up:
            if ticks_diff(self._ports.ticks_ms(), self._opened_ms) >= self._config.connect_timeout_ms:
                text = "the cloud took the connection and does not accept the settings: it is made anew"
                self.fail(errors.LinkError(text, errors.TIMEOUT))

    # One attempt

    async def _run(self, delay_ms):
        try:
            if delay_ms:
                await self._ports.sleep_ms(delay_ms)
            while self._is_paused:
                await self._ports.sleep_ms(_QUIET_POLL_MS)
            self._is_waiting = False
            error = await self._connect_and_run()
        except errors.PipitError as failure:
            error = failure
        except Exception:  # a fault of ours, or no memory: tasks.py reports it, and the session must not go on as if
            self._attempt = None
            text = "the connection ended by a fault of this speaker: it is made anew"
            self.fail(errors.LinkError(text, errors.PROTOCOL))
            raise
        if error is None:
            error = errors.LinkError("the cloud closed the connection")
        self._attempt = None
        old, self._link = self._link, None
        self.is_up = False
        if old is not None:
            await old.close()
        self._lost(error)

    def _lost(self, error):
        self._last_kind = error.kind
        self._trace.add(tr.LINK_DOWN, errors.KINDS.index(error.kind))
        self._on_lost(events.LINK_LOST, error)

    async def _connect_and_run(self):
        config = self._config
        self._began_ms = self._ports.ticks_ms()
        await self._wifi.up(config.wifi_ssid, config.wifi_password, config.wifi_timeout_ms)
        url, headers = self._cloud.request()
        is_tls, host, port, path = stream.split_url(url)
        tls = await self._tls_context() if is_tls else None
        address = await self._resolve(host, port)
        self._opened_ms = None
        self._link = new = self._new_link()
        try:
            await new.open(address, host, port, path, headers, tls)
        except link.Refused as refusal:
            raise self._cloud.refused(refusal.status, refusal.log_id)
        except errors.LinkError:
            self._is_address_old = True  # it may have moved
            raise
        self._opened_ms = self._ports.ticks_ms()
        new.send(self._cloud.opened())
        return await new.run()

    async def _tls_context(self):
        config = self._config
        if config.tls_verify:
            await clock.ensure(
                self._ports, self._settime, config.clock_timeout_ms, config.ntp_host, self._until_quiet
            )
        if self._tls is None:
            self._tls = stream.tls_context(config.tls_roots, config.tls_verify)
        return self._tls

    async def _until_quiet(self):
        while not self._is_quiet():
            await self._ports.sleep_ms(_QUIET_POLL_MS)

    async def _resolve(self, host, port):
        """The kept address, or a look-up, which blocks the loop and so waits until nobody would hear that. While
        somebody speaks, an old address is better than none: it is right nearly always.
        """
        if self._address is None:
            await self._until_quiet()
        elif not self._is_address_old or not self._is_quiet():
            return self._address
        before_ms = self._ports.ticks_ms()
        self._address = self._ports.resolve(host, port)
        self._is_address_old = False
        self._trace.add(tr.DNS, ticks_diff(self._ports.ticks_ms(), before_ms))
        return self._address
