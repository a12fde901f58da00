"""The world around a simulated speaker. Portable; knows neither the firmware nor the rest of the tools.

In the simulator's child process it is the top-level package `simworld` (tools/ itself needs CPython); the desktop side
uses parts of it as `tools.sim.simworld`.
"""
