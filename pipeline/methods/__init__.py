"""One file a paper; `METHODS` names them.

The values are module names, so that listing the methods imports none of them (and no torch).
"""

METHODS: dict[str, str] = {
    "zero_shot": "vlp.pipeline.methods.zero_shot",
}
