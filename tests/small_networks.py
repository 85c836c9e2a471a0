"""Options that make the registered networks small enough for tests."""

from typing import Any

# all others are smp's and take an encoder
STREAMS: dict[str, Any] = {"streams": [3, 1]}
REGISTERED: dict[str, dict[str, Any]] = {
    "damage-siamese": {"encoder": "resnet18"},
    "dual-stream": {**STREAMS, "options": {"width": 4}},
    "fusenet": {**STREAMS, "width": 4},
    "osmnet": {"width": 4},
    "residual-correction": {**STREAMS, "options": {"width": 4}},
    "segnet": {"width": 4},
    "smp-fusion": {**STREAMS, "encoder": "resnet18"},
    "v-fusenet": {**STREAMS, "width": 4},
}
