"""What goes wrong: in one line at the prompt, in full in a file."""

from __future__ import annotations

import logging
from pathlib import Path

NAMES = ("femto_bluesky", "bluesky", "ophyd")
"""Whose messages are kept in the file from INFO on; of others, warnings."""


NEWS = "femto_bluesky.news"
"""The logger whose messages are told at the prompt from INFO on."""

NO_NEWS = (
    # regions on a camera that a scan leaves out are nothing odd here: their names were checked
    "which this run does not have",
    # pyFAI, which can do without
    "pyOpenCl",
)
"""What warnings hold that are none at the prompt."""


class _Brief(logging.Formatter):
    """A message with the words of its exception, without the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        return text if error is None else f"{text}: {type(error).__name__}: {error}"


def log_at_the_prompt(file: Path) -> str:
    """Tell warnings and news at the prompt; write all messages, with tracebacks, into a file.

    Says in words where they are, or why there is no file.
    """
    root = logging.getLogger()
    prompt = logging.StreamHandler()
    prompt.setLevel(logging.INFO)
    prompt.setFormatter(_Brief())
    prompt.addFilter(_is_for_the_prompt)
    root.addHandler(prompt)
    # Tiled sets its own level when it is imported, in the middle of a scan
    logging.getLogger("tiled.server.app").addFilter(_is_a_warning)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        full = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        return f"no file: {file}: {error.strerror}"
    form = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
    full.setFormatter(logging.Formatter(form))
    root.addHandler(full)
    for name in NAMES:
        logging.getLogger(name).setLevel(logging.INFO)
    return str(file)


def _is_for_the_prompt(record: logging.LogRecord) -> bool:
    """Whether a message is news at the prompt; all are in the file."""
    # a plan that fails is raised there as well
    is_raised = record.name.startswith("bluesky") and record.exc_info
    if record.levelno < logging.WARNING:
        return record.name == NEWS
    return not (is_raised or any(words in str(record.msg) for words in NO_NEWS))


def _is_a_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
