/* SPDX-License-Identifier: MIT
 *
 * heed/oracle_next.h: ends one reading of a file of formulas; defines ORACLE_AGAIN if there is another one to come.
 */
#undef ORACLE_AGAIN
#ifndef ORACLE_DID_F64
#define ORACLE_DID_F64
#define ORACLE_AGAIN
#endif
