"""Training of `ribonanzanet-mini`, and the tables and exports of what is fine-tuned from it."""
