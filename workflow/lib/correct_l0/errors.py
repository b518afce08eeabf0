"""The one exception a person is meant to read."""

import errno

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system answers where a disk or a quota has no room."""


class InputError(Exception):
    """Input the pipeline cannot use.

    The message is one line that names the wrong value, the limit it breaks and
    the remedy. Scripts print it without a traceback and exit with status 1.
    """
