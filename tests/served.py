"""A served page that answers while a test works on it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def answering(server: Any) -> Iterator[Any]:
    """The server, which answers in a thread within the context."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def press(page: Any, key: str, then: str) -> None:
    """Press a key and wait for what the page says then."""
    page.keyboard.press(key)
    page.locator("#status", has_text=then).wait_for(timeout=10_000)
