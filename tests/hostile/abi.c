/* SPDX-License-Identifier: MIT
 *
 * Answers with a version that was not offered.
 */
#include "hostile.h"

HOSTILE(reply->abi = 9u << 16 | 9)
