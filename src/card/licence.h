/* licence: which licences are open, and the SPDX names of those that models name carelessly.
 *
 * Open: approved by the Open Source Initiative, or conformant to the Open Definition (content and data). The list has
 * those that models and texts are mostly under; one that is not in it is "not known to be open". Sources:
 * opensource.org/licenses, opendefinition.org/licenses, spdx.org/licenses. Proved by test_card.c.
 */
#ifndef LOAM_CARD_LICENCE_H
#define LOAM_CARD_LICENCE_H

#include "base/str.h"

/* Whether everything in this SPDX expression is open: one side of OR, both sides of AND; what stands behind WITH does
 * not count. Malformed or too deep: false. */
bool licence_is_open(str expression);
/* "apache-2.0" or "Apache-2.0" to "Apache-2.0", an expression of such names likewise; anything else to
 * LicenseRef-NAME; nothing for an empty one. Appended. */
err_code licence_spdx(str told, strbuf *out, err *e);
/* The name is one of SPDX's list that we know: fit for fields that allow no other. */
bool licence_is_listed(str name);

#endif
