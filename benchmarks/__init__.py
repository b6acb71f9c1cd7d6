"""What the package is measured by: `accuracy` and `speed`, beside others. Run from the root of a checkout."""
