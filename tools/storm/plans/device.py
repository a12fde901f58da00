"""What happens to the board itself."""

from . import DEVICE, fault


@fault("collector_pauses", DEVICE, ms=(20, 200), every_ms=(300, 3000), for_ms=(10_000, 40_000))
def collector_pauses(run, p):
    """Again and again everything stands still for the collector."""
    end_us = run.clock.now_us() + 1000 * p["for_ms"]

    def pause():
        if run.clock.now_us() < end_us:
            run.loop.pause_us += 1000 * p["ms"]
            run.clock.after_ms(p["every_ms"], pause)

    pause()
    return lambda: None


@fault("slow_cpu", DEVICE, step_us=(300, 1500), for_ms=(10_000, 30_000))
def slow_cpu(run, p):
    """Each step of each task takes its time."""
    return run.turn(run.loop, "step_us", p["step_us"])
