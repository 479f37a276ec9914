"""The prompts of the image base: one sentence frame, one phrase a task, one closed vocabulary.

The infrared prompt uses the same frame as the tasks of the base, so an adapter has one phrase to
learn and not a sentence. Its own words, "infrared" and "thermal", occur in no task of the base.
"""

FRAME = "a diptych of the same scene, on the right as {}"
INFRARED_PROMPT = FRAME.format("infrared thermal photo")

# Never shown during training; in the vocabulary so that prompts about them are not <unk>.
_SPARE_WORDS = """
infrared thermal photo image picture heat hot cold warm cool temperature camera sensor far near
day night street road scene sky sidewalk building tree vehicle car person pedestrian lamp terrain
window left side two panel panels map semantic bright dark white black color colour visible light
and with in at to by is it its from for an no not one that this
"""


def task_prompt(phrase: str) -> str:
    """The full prompt of the task called `phrase`."""
    return FRAME.format(phrase)


def vocabulary(phrases: list[str]) -> list[str]:
    """Every word of the frame, of `phrases` and of the spare words: sorted, lower case."""
    text = " ".join([FRAME.format(""), *phrases, _SPARE_WORDS]).lower()
    return sorted({word for word in text.replace(",", " ").split() if word})
