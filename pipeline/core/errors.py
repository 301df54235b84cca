"""The one exception that is meant for the user, and showing what comes from elsewhere."""


class PipelineError(Exception):
    """Something the user can fix; its text is shown alone, without a traceback."""


def printable(text: str) -> str:
    """Return `text` on one line, with characters that could control a terminal escaped."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )
