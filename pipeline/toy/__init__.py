"""The embedded default: a small world of moving shapes, its videos, and a CLIP trained on its stills.

``MODEL_DIR`` holds an ordinary open_clip model, which ``open_clip.create_model_and_transforms`` takes as
``local-dir:MODEL_DIR``; MODEL_CARD.md beside it tells how it was trained and how well it does.
"""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
