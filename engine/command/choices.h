/* SPDX-License-Identifier: MIT
 *
 * choices.h: heed score --choices: which of several texts a model takes for the likeliest behind a
 * prompt.
 */
#ifndef HEED_COMMAND_CHOICES_H
#define HEED_COMMAND_CHOICES_H

#include "command/model.h"

/* Scores each line of a file and prints it, and at the end how often the right choice was the
 * likeliest. The model is opened, its tokenizer too; `name` is what it is called. */
int32_t choices_score(model *m, const char *name, const char *path, int json, heed_error *error);

#endif
