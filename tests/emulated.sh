#!/bin/sh
# SPDX-License-Identifier: MIT
#
# emulated.sh: the command heed of the build tree BUILD, through the emulator TESTEXEC: what tests of the command run when
# `make check TESTEXEC=...` says that the machine is another one.
exec $TESTEXEC "$BUILD/engine/heed" "$@"
