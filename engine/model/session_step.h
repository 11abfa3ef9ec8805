/* SPDX-License-Identifier: MIT
 *
 * session_step.h: one step of a stack, on the tensors of a session.
 */
#ifndef HEED_MODEL_SESSION_STEP_H
#define HEED_MODEL_SESSION_STEP_H

#include "model/session.h"

/* A view on `count` tokens of a buffer, behind the first `skipped`. */
HEED_LOCAL void session_place_view(heed_session *s, uint32_t v, const void *buffer, int64_t skipped,
                                   int64_t count);
/* Runs it; `sequences` are those of a step that remembers, else NULL. */
HEED_LOCAL int32_t session_step_run(heed_session *s, const stack_step *step,
                                    heed_sequence *const *sequences, heed_error *error);

#endif
