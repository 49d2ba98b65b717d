"""Names of what is cached by content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def digest(*parts: str | Iterable[str]) -> str:
    """Hex hash of texts and lists of texts; where one ends and the next begins counts."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        texts = [part] if isinstance(part, str) else part
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            found.update(len(data).to_bytes(8, "little"))
            found.update(data)
        found.update(b"\xff" * 8)  # no text is so long
    return found.hexdigest()
