"""Sentences that a class name is filled into: named sets, recorded with every result under one version.

All are our own wording but "a photo of {}.", which is CLIP's (Radford et al., 2021), and those that name their paper.
"""

from vlp.datasplits.errors import UnknownName

# Raised whenever a sentence changes: results under two versions are not to be compared.
TEMPLATES_VERSION = 1

TEMPLATE_SETS: dict[str, tuple[str, ...]] = {
    "none": ("{}",),
    "single": ("a photo of {}.",),
    "article": ("a photo of a {}.",),
    "action": ("this is an action of {}.",),
    "video": ("a video of {}.",),
    "person": ("a video of a person doing {}.",),
    # The hand-crafted prompts of Seeing in Flowing (Wang et al., ACM MM 2023), Table 1.
    "human-action-a": ("human action of {}.",),
    "human-action-b": ("a human action of {}.",),
    "human-action-c": ("a common human action of {}.",),
    "toy": ("a photo of a shape {}.",),  # the toy world holds shapes, no persons
    "ensemble": (
        # the name at the end
        "a photo of {}.",
        "a video of {}.",
        "a frame from a video of {}.",
        "a clip that shows {}.",
        "this is an action of {}.",
        "the human action is {}.",
        # the name in the middle
        "someone is {} in this clip.",
        "a person who is {}, on video.",
        "look at the {} in this scene.",
        "the action {} takes place here.",
        "people can be seen {} in the recording.",
        "we watch {} from start to end.",
        # the name at the beginning
        "{}, a video.",
        "{}, a photo of an action.",
        "{} is what the person does.",
        "{}, as seen by a camera.",
        "{} is shown here.",
        "{}, a human activity.",
    ),
}


def template_set(name: str) -> tuple[str, ...]:
    """Return the sentences of a set, each with one ``{}``.

    Raises:
        UnknownName: naming the known sets.
    """
    if name not in TEMPLATE_SETS:
        raise UnknownName("template set", name, list(TEMPLATE_SETS))
    return TEMPLATE_SETS[name]
