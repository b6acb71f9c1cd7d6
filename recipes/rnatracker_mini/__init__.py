"""Tables and export of `rnatracker-mini`."""
