# SPDX-License-Identifier: MIT
"""`python -m heed_attention ...` is the command heed, which takes this process over."""

import os
import sys

from ._command import command


def main() -> None:
    """The entry of the script `heed`."""
    file = command()
    os.execv(file, ["heed", *sys.argv[1:]])


if __name__ == "__main__":
    main()
