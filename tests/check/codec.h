/* SPDX-License-Identifier: MIT
 *
 * codec.h: heed.kv/1, how keys and values are remembered.
 */
#ifndef HEED_CHECK_CODEC_H
#define HEED_CHECK_CODEC_H

#include "check/subject.h"

/* The oracle of s gets what the codecs of an instance make of keys and values; call_update takes it back. */
void codec_tell_oracle(subject *s, const heed_instance *instance);

int has_codec(const subject *s);
void check_codec(subject *s);

#endif
