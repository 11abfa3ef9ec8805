/* SPDX-License-Identifier: MIT
 *
 * Its entry succeeds and has filled in nothing.
 */
#include "hostile.h"

HOSTILE(*reply = (heed_reply){0})
