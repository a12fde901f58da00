"""The codes of trace.py in words. Loaded to show them, and let go of again."""

NAMES = (
    "-", "state", "event", "press", "release", "first_frame", "complete", "first_delta", "first_sample",
    "last_sample", "underrun", "overrun", "ring_full", "flush", "cancel", "stale_audio", "gated", "link_up",
    "link_down", "retry", "ping", "pong", "error", "cloud_code", "unknown_event", "uplink_drop", "gc",
    "heap_free", "dns", "wifi_up", "malformed", "too_big", "ring_most", "queue_most",
)  # fmt: skip


def line(t_ms, code, arg):
    """One entry, readable."""
    return "%10d %-13s %d" % (t_ms, NAMES[code] if code < len(NAMES) else code, arg)
