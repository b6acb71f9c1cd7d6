"""How near predictions come to what was measured, beside baselines: `python -m benchmarks.accuracy.structure`."""
