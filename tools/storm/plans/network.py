"""What networks do to a conversation."""

from . import NETWORK, fault


def _knob(run, name, value):
    """Turn a knob of the weather; what is returned turns it back."""
    return run.turn(run.network.weather, name, value)


@fault("latency", NETWORK, ms=(80, 900), for_ms=(5000, 30_000))
def latency(run, p):
    """Each packet takes longer."""
    return _knob(run, "latency_ms", p["ms"])


@fault("jitter", NETWORK, ms=(50, 800), for_ms=(5000, 30_000))
def jitter(run, p):
    """Each packet takes longer by another time; the order stays."""
    return _knob(run, "jitter_ms", p["ms"])


@fault("narrow", NETWORK, bytes_per_s=(6000, 60_000), for_ms=(5000, 30_000))
def narrow(run, p):
    """Few bytes a second in each direction: less than speech needs, or just enough."""
    return _knob(run, "bytes_per_s", p["bytes_per_s"])


@fault("split", NETWORK, for_ms=(5000, 60_000))
def split(run, p):
    """Packets arrive in any pieces, and writes are taken in part."""
    return _knob(run, "is_split", True)


@fault("stall", NETWORK, for_ms=(500, 20_000))
def stall(run, p):
    """Nothing travels for a while, then everything does."""
    run.network.stall(True)
    return lambda: run.network.stall(False)


@fault("reset", NETWORK, for_ms=0)
def reset(run, p):
    """The connection is cut by a reset on both ends."""
    run.network.reset_all()


@fault("half_open", NETWORK, for_ms=0)
def half_open(run, p):
    """The connection is a hole from now on: bytes vanish both ways, and nobody says so."""
    run.network.forget()


@fault("dns_blocks", NETWORK, block_ms=10_000, for_ms=(10_000, 30_000))
def dns_blocks(run, p):
    """The connection is cut, and each look-up blocks the speaker for ten seconds."""
    back = _knob(run, "dns", p["block_ms"])
    run.network.reset_all()
    return back


@fault("dns_fails", NETWORK, for_ms=(3000, 30_000))
def dns_fails(run, p):
    """The connection is cut, and there is no address for the cloud."""
    back = _knob(run, "dns", "fails")
    run.network.reset_all()
    return back


def _door(run, door):
    back = _knob(run, "door", door)
    run.network.reset_all()
    return back


@fault("refused", NETWORK, for_ms=(3000, 40_000))
def refused(run, p):
    """The connection is cut, and new ones are refused."""
    return _door(run, "refused")


@fault("silent", NETWORK, for_ms=(3000, 40_000))
def silent(run, p):
    """The connection is cut, and nobody answers a new one."""
    return _door(run, "silent")


@fault("tls_fails", NETWORK, for_ms=(3000, 40_000))
def tls_fails(run, p):
    """The connection is cut, and the TLS handshake of new ones fails."""
    return _door(run, "tls")


@fault("portal", NETWORK, for_ms=(3000, 40_000))
def portal(run, p):
    """The connection is cut, and a captive portal answers new ones with its log-in page."""
    return _door(run, "portal")


def _without_wifi(run):
    run.world.wifi(False)
    return lambda: run.world.wifi(True)


@fault("wifi_lost", NETWORK, for_ms=(300, 40_000))
def wifi_lost(run, p):
    """The access point vanishes and comes back; connections might have survived it."""
    return _without_wifi(run)


@fault("address_change", NETWORK, for_ms=(100, 8000))
def address_change(run, p):
    """The speaker gets another address: every old connection is a hole."""
    run.network.forget()
    return _without_wifi(run)


@fault("router_reboot", NETWORK, dns_late_ms=(0, 8000), for_ms=(20_000, 60_000))
def router_reboot(run, p):
    """No Wi-Fi for a while, then Wi-Fi without names for a while; old connections are holes."""
    run.network.forget()
    back = _knob(run, "dns", "fails")
    run.world.wifi(False)
    run.clock.after_ms(max(0, p["for_ms"] - p["dns_late_ms"]), run.world.wifi, True)
    return back
