/* SPDX-License-Identifier: MIT
 *
 * quota.h: how many CPUs' time the control groups of this process leave it.
 */
#ifndef HEED_RUN_QUOTA_H
#define HEED_RUN_QUOTA_H

#include "base/local.h"

/* The least quota of the process's own control group and all above it, in CPUs: 0.5 is half the time of one. 0 where
 * there is none, or where it cannot be read. `root` is "" for this machine; a test has a folder with proc/ and sys/. */
HEED_LOCAL double quota_cpus(const char *root);
/* Lanes for a quota: its CPUs, rounded up, and no more than `slots`; all slots without one. */
HEED_LOCAL uint32_t quota_lanes(double quota, uint32_t slots);

#endif
