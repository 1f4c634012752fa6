"""How long a sentence is for CLIP."""

from collections.abc import Callable


def token_counter() -> Callable[[str], int]:
    """Return what counts the tokens of a text, without those that mark its beginning and end."""
    from vlp.pipeline.open_clip_port import open_clip

    encode = open_clip.SimpleTokenizer().encode
    return lambda text: len(encode(text))
