"""What is asked about an action: a graph of attributes, and questions over it; files of sentences record their texts.

The graph follows AP-CLIP (Jia et al., ACM MM 2024, doi:10.1145/3664647.3680690), section 3.2.1: three aspects of an
action with four attributes each. Which twelve they are stands in an appendix that is not published with the paper:
these are our own choice, and so is every question's wording.
"""

ATTRIBUTES: dict[str, dict[str, str]] = {
    "scene": {
        "place": "the room, ground or landscape where it happens",
        "objects": "the objects that are used or touched",
        "surroundings": "what stands or moves around it, people and things that take no part",
        "light": "the light, the time of day, the weather",
    },
    "actor": {
        "people": "how many people take part, of what age, and where they are to one another",
        "clothing": "what the people wear",
        "equipment": "what the people hold, ride or have strapped on",
        "attention": "where the people look, and the expression on their faces",
    },
    "body": {
        "posture": "the posture of the body while it happens",
        "moving_parts": "which parts of the body move, and how",
        "speed": "how fast the movement is, its rhythm, and whether it repeats",
        "path": "the path that the body or the object travels, and in which direction",
    },
}
"""Aspect to attribute to what is asked for."""

QUESTION_SETS: dict[str, dict[str, str]] = {
    "attributes": {
        "describe": "In a video of the action {action}, what can be seen of {attribute}?",
        "distinguish": "As to {attribute}, what sets the action {action} apart from actions that look like it?",
        "typical": "Imagine a typical video of the action {action}. What would a witness say of {attribute}?",
    },
    "customised": {
        "custom_look": "What does a video of the action {action} look like?",
        "custom_signs": "By which visible signs is the action {action} recognised in a video?",
        "custom_course": "What happens from beginning to end when someone does the action {action}?",
    },
    "direct": {
        "direct": "Describe the action {action}.",
    },
}
"""Questions over the attributes, and, for comparison, questions without any (the paper's Table 6)."""

NUM_SENTENCES_WITHOUT_ATTRIBUTES = 12
"""Of a class, over all questions of a set: as many as one question over the attributes gives."""


def graph() -> dict[str, tuple[str, ...]]:
    """Return the attributes of each aspect, without what they mean.

    Example:
        >>> {aspect: len(attributes) for aspect, attributes in graph().items()}
        {'scene': 4, 'actor': 4, 'body': 4}
    """
    return {aspect: tuple(attributes) for aspect, attributes in ATTRIBUTES.items()}
