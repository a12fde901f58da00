"""After a restart: watch the speaker until it is online, or say which step failed and what helps."""

import time

from tools import ToolError
from tools.board.console import ConsoleLost, ConsoleMute, NoConsole, Refused, wait_for_console

START_WAIT_S = 30.0  # the loader, 2 s of plain REPL, and the judging of the settings
ONLINE_WAIT_S = 90.0
_STATUS_EVERY_S = 1.0
_STATUS_WAIT_S = 2.0
_CLOCKS_DIFFER_S = 1.0
_SETTLE_S = 10.0
ONLINE = ("idle", "standby", "listening", "tail", "thinking", "speaking", "finishing")

UNPROVISIONED = "unprovisioned"

# error kind: (the step that failed, what helps, how many times it may come before it counts)
STEPS = {
    "config": ("settings", "run provision again with the value that it names", 1),
    "password": ("Wi-Fi password", "type it again: provision --wifi-name NAME asks for it; small and capital letters"
                 " differ", 1),
    "network": ("Wi-Fi name", "is it spelled exactly so, in reach, and a 2.4 GHz network? An ESP32-S3 hears no"
                " 5 GHz", 2),
    "address": ("Wi-Fi address", "restart the access point; does it let in new devices?", 2),
    "wifi": ("Wi-Fi", "move the speaker nearer to the access point, restart both", 2),
    "clock": ("clock", "does this network let time servers through (UDP port 123)? Another: --set ntp_host=HOST", 2),
    "dns": ("name of the cloud", "is the access point itself online? Is cloud_url spelled right?", 2),
    "connect": ("way to the cloud", "is the access point itself online, or a firewall in between?", 2),
    "tls": ("certificate of the cloud", "provision --renew-roots fetches the right ones", 1),
    "timeout": ("answer of the cloud", "try again; a weak Wi-Fi signal does this too", 2),
    "protocol": ("answer of the cloud", "is cloud_url the address of an agent's WebSocket?", 2),
    "busy": ("answer of the cloud", "it is overloaded: the speaker goes on trying by itself", 3),
    "token": ("token", "make a new access token with the permission to chat, then provision it: it is asked for", 1),
    "agent": ("agent", "publish it to the API channel, and look at its id", 1),
    "refused": ("agent", "look at the token's permissions, the agent's workspace and the account's quota", 1),
}  # fmt: skip


def until_online(port, note, start_wait_s=None, online_wait_s=None, restarted_s=None, clock=time.monotonic):
    """The speaker's status when it is online. ToolError with step, cause and cure when it does not get there.

    start_wait_s, online_wait_s: None for START_WAIT_S and ONLINE_WAIT_S.
    note(text) is told every state on the way. restarted_s: when it was told to restart, by `clock`; what it says with
    a longer life than that is still the old one's.
    """
    start_wait_s = START_WAIT_S if start_wait_s is None else start_wait_s
    watch = _Watch(port, note, start_wait_s, clock() if restarted_s is None else restarted_s, clock)
    try:
        return watch.run(ONLINE_WAIT_S if online_wait_s is None else online_wait_s)
    finally:
        watch.close()


class _Watch:
    def __init__(self, port, note, start_wait_s, restarted_s, clock):
        self._port = port
        self._note = note
        self._start_wait_s = start_wait_s
        self._restarted_s = restarted_s
        self._clock = clock
        self._console = None
        self._counts = {}
        self._state = ""
        self._last_error = None

    def close(self):
        if self._console is not None:
            self._console.close()
            self._console = None

    def run(self, wait_s):
        self._connect()
        deadline_s = self._clock() + wait_s
        while self._clock() < deadline_s:
            try:
                status = self._look()
            except ConsoleMute:
                continue  # it is on its way from waiting for settings to running with them
            except ConsoleLost:
                self._connect()  # the reset came later than we did
                continue
            if status is not None:
                return status
        raise ToolError(
            "the speaker is not online after %d s; it goes on trying. Its last state: %s%s"
            % (wait_s, self._state or "unknown", "; " + self._last_error[1] if self._last_error else "")
        )

    def _connect(self):
        self.close()
        try:
            self._console = wait_for_console(self._port, self._start_wait_s)
        except NoConsole as error:
            raise ToolError(
                "the settings are written, but no speaker answers after the restart (%s). Is the application on the"
                " board? `python -m tools deploy` puts it there, `python -m tools monitor` shows what it says" % error
            ) from None

    def _look(self):
        """The status when the speaker is online, else None after having listened for a while."""
        status = self._status()
        if status is not None:
            is_there = self._state in ONLINE or status.get("state") in ONLINE
            if not is_there:
                self._listen(0)  # what was said before the answer comes before it, and is not counted twice
            self._enter(status.get("state"))
            if is_there:
                return status  # whatever failed on the way there is over
            self._judge_status(status.get("last_error"))
        self._listen(_STATUS_EVERY_S)
        return None

    def _status(self):
        try:
            status = self._console.ask({"do": "status"}, _STATUS_WAIT_S)
        except Refused:
            return None  # not that far yet
        life_s = status.get("uptime_ms", 0) / 1000
        if status.get("state") != UNPROVISIONED and life_s > self._clock() - self._restarted_s + _CLOCKS_DIFFER_S:
            return None  # it has not gone down yet
        return status

    def _listen(self, wait_s):
        """Reports that wait already, and those of the next wait_s."""
        until_s = self._clock() + wait_s
        while True:
            report = self._console.next_report(max(0, until_s - self._clock()))
            if report is None:
                return
            if report["kind"] == "state":
                self._enter(report.get("state"))
                if self._state in ONLINE:
                    return
            elif report["kind"] == "error":
                self._judge(str(report.get("error_kind")), str(report.get("text")))

    def _enter(self, state):
        if state and state not in (self._state, UNPROVISIONED):
            self._state = state
            self._note(state + " ...")

    def _judge_status(self, error):
        """last_error of the status: reported before we listened, or known already."""
        is_settling = not self._state and self._clock() - self._restarted_s < _SETTLE_S  # still without its settings
        if isinstance(error, dict) and not is_settling:
            found = (str(error.get("error_kind")), str(error.get("text")))
            if found != self._last_error:
                self._judge(*found)

    def _judge(self, kind, text):
        self._last_error = (kind, text)
        step, cure, limit = STEPS.get(kind, ("", "", 0))
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if not limit or self._counts[kind] < limit:
            self._note("%s: %s" % (step or kind, text))
            return
        end = "" if cure.endswith("?") else "."
        raise ToolError("it failed at the %s: %s\n  What helps: %s%s" % (step, text, cure, end))
