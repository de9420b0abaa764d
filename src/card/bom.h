/* bom: the facts in the two forms of bills of materials.
 *
 *   SPDX 3.0.1 JSON-LD   the model as ai_AIPackage, its data as dataset_DatasetPackage, licences, trainedOn and
 * testedOn. profileConformance names "ai" and "dataset" only when all that these profiles demand is known: for ai who
 * supplies it, its version, when it was released and where it is; for dataset the same of the data, and who made them.
 *   CycloneDX 1.6        a machine-learning-model with its model card, and its data as a component.
 *
 * A licence that SPDX's list does not have is a LicenseRef with what is known of its text. Fields whose value is
 * unknown are left out; a time that the format demands and nobody knows is 1970-01-01T00:00:00Z, with a comment that
 * says so. The same facts give the same bytes. Sources: spdx.github.io/spdx-spec/v3.0.1, cyclonedx.org/docs/1.6. Proved
 * by test_card.c and, with the formats' own libraries, test/e2e/test_card.py.
 */
#ifndef LOAM_CARD_BOM_H
#define LOAM_CARD_BOM_H

#include "card/openness.h"

typedef struct {
    const char *tool;                /* version of this program */
    str data_url, data_by;           /* where the data are, and whose they are; empty: unknown */
    int64_t released, data_released; /* seconds since 1970; below 0: unknown */
} bom_options;

err_code spdx_write(card_facts *f, const openness *o, const bom_options *b, strbuf *out, err *e);
err_code cyclonedx_write(card_facts *f, const openness *o, const bom_options *b, strbuf *out, err *e);

/* What programs ask for most, as one line of JSON of our own: {"name", "form", "by_loam", "licence", "licence_open",
 * "parameters", "data", "mof", "osaid", "energy", "digests", "unknown"}. */
err_code summary_write(const card_facts *f, const openness *o, strbuf *out, err *e);

#endif
