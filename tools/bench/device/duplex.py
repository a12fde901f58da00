"""The whole speaker with sockets and TLS while it hears and speaks at once: what a pair of 20 ms frames costs.

    micropython duplex.py SETTINGS.json        python3 duplex.py SETTINGS.json

Child process of tools.bench.duplex, in a folder with config.json and tls_roots/. Free talk on a board without echo:
the microphone streams while the answer plays. SETTINGS: root, app_root, warm_ms, measured_ms. Prints one JSON line with
what the measured time cost; the collector rests meanwhile.
"""

import asyncio
import gc
import json
import sys


def main(path):
    with open(path) as file:
        settings = json.load(file)
    root = settings["root"]
    app_root = settings["app_root"]
    sys.path[:] = [app_root, app_root + "/lib", root + "/tools/bench/device"] + sys.path[1:]
    from firmware import app, report

    import thin

    thin.install()
    report.sink = lambda line: None
    from firmware import boards, config, ports

    speaker = app.Speaker(config.load("config.json"), boards.load("sim"), ports.real())
    asyncio.run(_measure(speaker, thin, settings))


async def _measure(speaker, thin, settings):
    life = asyncio.create_task(speaker.run())
    session = speaker.session
    sleep_ms = speaker.ports.sleep_ms
    await _until(sleep_ms, lambda: session.state == "idle")
    session.post("press")
    await _until(sleep_ms, lambda: session.state == "speaking")
    await sleep_ms(settings["warm_ms"])
    meter = Meter()
    heard = thin.I2S.opened[thin.I2S.RX]
    played = thin.I2S.opened[thin.I2S.TX]
    start = (speaker.recorder.frames, speaker.player.samples_played, heard.bytes, played.bytes)
    cpu_ns = processor_ns()
    meter.start()
    await sleep_ms(settings["measured_ms"])
    n_bytes = meter.stop()
    print(
        json.dumps({
            "cpu_ns": processor_ns() - cpu_ns,
            "heap_bytes": n_bytes,
            "frames": speaker.recorder.frames - start[0],
            "samples_played": speaker.player.samples_played - start[1],
            "underruns": speaker.player.underruns,
            "dropped_frames": speaker.uplink.dropped_frames,
            "state": session.state,
        })
    )
    life.cancel()


async def _until(sleep_ms, condition):
    for _ in range(1000):
        if condition():
            return
        await sleep_ms(10)
    raise RuntimeError("the speaker did not get there in 10 s")


class Meter:
    """Heap bytes taken between start() and stop(), garbage included; 0 on CPython."""

    def start(self):
        gc.collect()
        gc.disable()
        self._before = gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0

    def stop(self):
        n = gc.mem_alloc() - self._before if hasattr(gc, "mem_alloc") else 0
        gc.enable()
        return n


def processor_ns():
    """Processor time of this process so far; 0 where the kernel does not tell."""
    try:
        with open("/proc/self/schedstat") as file:
            return int(file.read().split()[0])
    except OSError:
        return 0


if __name__ == "__main__":
    main(sys.argv[1])
