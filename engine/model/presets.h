/* SPDX-License-Identifier: MIT
 *
 * presets.h: networks of papers, by name.
 */
#ifndef HEED_MODEL_PRESETS_H
#define HEED_MODEL_PRESETS_H

#include "base/local.h"

/* Where a network's spec has the key `preset`, *whole becomes the text with the keys that it stands
 * for in its place, but for those that the text gives itself; else NULL, and so for a text that does
 * not parse. malloc'ed. */
HEED_LOCAL int32_t presets_expand(const char *text, char **whole, heed_error *error);

#endif
