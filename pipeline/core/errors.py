"""The one exception that is meant for the user, and showing what comes from elsewhere."""

LENGTH = 300  # characters; Keras's messages go on for pages


class PipelineError(Exception):
    """Something the user can fix; its text is shown alone, without a traceback."""


def printable(text: str) -> str:
    """Return `text` on one line, with characters that could control a terminal escaped."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def one_line(error: Exception) -> str:
    """Return what an exception says, or its type where it says nothing, in a line not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LENGTH else f"{text[:LENGTH]} ..."
