/* SPDX-License-Identifier: MIT
 *
 * chat.h: a prompt as the message of a conversation, in the form of a folder's chat_template.
 */
#ifndef HEED_TEXT_CHAT_H
#define HEED_TEXT_CHAT_H

#include "base/local.h"
#include "text/bytes.h"

/* Appends the text that the folder's template makes of a message of the user's, n bytes, and of one of
 * the system's in front (NULL: none), up to where the answer begins. Special tokens are in it as they
 * are written. A template that is none of the known forms is refused. */
HEED_LOCAL int32_t chat_prompt(const char *folder, const char *system, const char *prompt, size_t n,
                               bytes *to, heed_error *error);

#endif
