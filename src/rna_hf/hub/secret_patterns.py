"""What tokens, keys and passwords look like; for a look at files before they are made public."""

from __future__ import annotations

import re

# Kind -> what it looks like. Kinds that begin alike in all programs; no guess by randomness, which weights would meet.
PATTERNS: dict[str, re.Pattern[bytes]] = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "a token of the Hugging Face Hub": rb"\b(?:hf|api_org)_[A-Za-z]{30,}\b",
        "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})\b",
        "a GitLab token": rb"\bglpat-[A-Za-z0-9_-]{20,}\b",
        "an AWS key": rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        "a Google key": rb"\bAIza[A-Za-z0-9_-]{35}",
        "an OpenAI or Anthropic key": rb"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}",
        "a Slack token": rb"\bxox[abprs]-[A-Za-z0-9-]{10,}",
        "a Weights & Biases key": rb"(?i)wandb[a-z_ ]{0,12}key\W{1,6}[0-9a-f]{40}\b",
        "a private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
        "a password in an address": rb"\b[a-z][a-z0-9+.-]*://[^\s/:@\"']+:[^\s/@\"']{3,}@",
        "a password, key or token": (
            rb"(?i)\b(?:api[_-]?key|secret|access[_-]?token|auth[_-]?token|password|passwd)[\"']?\s*[:=]\s*"
            rb"[\"'][^\s\"'<>]{8,}[\"']"
        ),
    }.items()
}


def find_secret(content: bytes) -> tuple[str, int] | None:
    """Return what the first secret in a file is and its line (from 1); None where there is none. It is not shown."""
    found = [(match.start(), kind) for kind, pattern in PATTERNS.items() if (match := pattern.search(content))]
    if not found:
        return None
    place, kind = min(found)
    return kind, content.count(b"\n", 0, place) + 1
