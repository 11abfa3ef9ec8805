/* SPDX-License-Identifier: MIT
 *
 * Is a shared object, but no plugin.
 */
int hostile_nothing(void);
int hostile_nothing(void) { return 0; }
