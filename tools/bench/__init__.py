"""What twenty milliseconds of sound cost: `python -m tools bench`. Timings are printed; sizes are tested."""
