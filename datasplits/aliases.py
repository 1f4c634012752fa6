"""What to write in prompts for class names that are misspelt: our own corrections, no dataset's.

Labels stay the keys of everything; only their text changes. Corrected are words that are misspelt ("mooping"), that are
Spanish ("guitarra"), or that lack the space, hyphen or apostrophe they are written with ("situp"). Left alone are
variants that dictionaries have ("hotdog", "pinata"), word order ("diving cliff"), missing articles ("fall floor"),
slashes ("towel/s"), and words cut in two ("bee keeping"). Texts are written as `class_text` writes the rest: small
letters, no underscores. For these tables every label was read of Kinetics-400, -600 and -700, UCF101, HMDB51,
Something-Something V2, Charades, ActivityNet 1.3 and THUMOS14.
"""

_KINETICS = {  # in all three
    "barbequing": "barbecuing",
    "jetskiing": "jet skiing",
    "situp": "sit-up",
    "skiing crosscountry": "skiing cross-country",
}
_KINETICS_SINCE_600 = {
    "blowdrying hair": "blow-drying hair",
    "cooking sausages (not on barbeque)": "cooking sausages (not on barbecue)",
    "playing rubiks cube": "playing rubik's cube",
    "tie dying": "tie-dyeing",
}

ALIASES: dict[str, dict[str, str]] = {
    "activitynet": {
        "Mooping floor": "mopping floor",
        "Plataform diving": "platform diving",
        "Playing flauta": "playing flute",
        "Playing guitarra": "playing guitar",
        "Playing rubik cube": "playing rubik's cube",
        "Polishing forniture": "polishing furniture",
    },
    "charades": {},
    "hmdb51": {"pullup": "pull-up", "pushup": "push-up", "situp": "sit-up"},
    "kinetics400": _KINETICS
    | {
        "dying hair": "dyeing hair",
        "skiing (not slalom or crosscountry)": "skiing (not slalom or cross-country)",
    },
    "kinetics600": _KINETICS | _KINETICS_SINCE_600,
    "kinetics700": _KINETICS | _KINETICS_SINCE_600,
    "ssv2": {},
    "thumos14": {"Shotput": "shot put"},
    "ucf101": {
        "HandstandPushups": "handstand push-ups",
        "Shotput": "shot put",
        "Skijet": "jet ski",
        "WallPushups": "wall push-ups",
    },
}


def alias_of(label: str) -> str | None:
    """Return the text for a misspelt label of any dataset, or None for all other labels.

    Args:
        label: as its dataset spells it.

    Example:
        >>> alias_of("Mooping floor"), alias_of("mopping floor")
        ('mopping floor', None)
    """
    return next((table[label] for table in ALIASES.values() if label in table), None)
