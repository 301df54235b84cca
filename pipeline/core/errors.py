"""The one exception that is meant for the user."""


class PipelineError(Exception):
    """Something the user can fix; its text is shown alone, without a traceback."""
