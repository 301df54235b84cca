"""One module a DVC stage, each run as `python -m stages.<name>` from the project root."""

from pipeline.core import process

process.prepare()
