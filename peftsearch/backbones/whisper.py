"""Whisper: BART's layers over a spectrogram; its keys have no bias.

Two convolutions make one position of two frames; they and the positions, which are not trained in
the encoder, hold no sites. Norms stand in front of each part and at the end of a stack.
"""

from __future__ import annotations

from peftsearch.backbones.bart import hosts

__all__ = ["ENCODER_DECODER", "MODEL_TYPES", "hosts"]

MODEL_TYPES = ("whisper",)
ENCODER_DECODER = True
