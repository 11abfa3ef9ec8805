#!/bin/sh
# SPDX-License-Identifier: MIT
#
# list.sh FOLDER: the table of oracles that oracle.c reads, on stdout: KIND_NAME.h in the folder is
# the oracle of KIND/NAME. make writes it to include/oracles.h.
names=$(cd "$1" && ls *_*.h | sed -n '/^oracle_/d; s/\.h$//p') || exit 1
echo '#ifdef ORACLE_ROW'
echo "$names" | sed 's|\([^_]*\)_\(.*\)|ORACLE_ROW("\1/\2", &),|'
echo '#else'
echo "$names" | sed 's|.*|#include "oracle/&.h"|'
echo '#endif'
