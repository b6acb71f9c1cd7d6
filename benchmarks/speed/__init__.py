"""Time and memory: `python -m benchmarks.speed.ribonanzanet`."""
