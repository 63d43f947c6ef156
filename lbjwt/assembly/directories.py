"""The message about a state directory that others can write to, for the start, `check` and `doctor`."""

import os
from pathlib import Path

__all__ = ["shared_directory"]


def shared_directory(path: Path, status: os.stat_result) -> str:
    """
    Return what is wrong with a directory that others own or can write, and the way out.

    A volume of Kubernetes comes with the mode 0777 or 2777 or belongs to root, and cannot be changed by the pod; one in it can be lbjwt's own.
    """
    if status.st_mode & 0o022:
        fault, remedy = "can be written by its group or by others, who could put keys of theirs there", "chmod go-w it"
    else:
        fault, remedy = "belongs to another user", "chown it to the user lbjwt runs as"
    if os.access(path, os.W_OK | os.X_OK):
        remedy += f", or name a directory in it, such as {path / 'lbjwt'}, which is made with mode 0700 (a volume of Kubernetes is such a place)"
    return f"{path} {fault}; {remedy}"
