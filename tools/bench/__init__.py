"""What twenty milliseconds of sound cost: `python -m tools bench`. Timings are printed, allocations and sizes are tested."""
