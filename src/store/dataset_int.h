/* dataset_int: what the files of store/ share about an open data set; not for others. */
#ifndef LOAM_STORE_DATASET_INT_H
#define LOAM_STORE_DATASET_INT_H

#include "base/os.h"
#include "store/dataset.h"
#include "store/sql.h"
#include "store/writer.h"

struct dataset {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *get_doc, *get_text; /* by id; the strings of the last document are theirs */
    const volatile int *stop;         /* not 0: give up */
    double began;                     /* of the condition that is being run */
};

/* The columns DATASET_DOC_COLUMNS of the current row, all but the text. */
#define DATASET_DOC_COLUMNS \
    "id, sha256, bytes, name, source, licence, topic, kind, meta, duplicate_of, near_of, similarity, file"
enum { DATASET_DOC_N_COLUMNS = 13 };
err_code dataset_doc_columns(sqlite3_stmt *s, dataset_doc *doc, int64_t *file, err *e);

/* All columns of the current row of these tables, in their order. */
err_code dataset_file_columns(sqlite3_stmt *s, dataset_file *f, err *e);
err_code dataset_removal_columns(sqlite3_stmt *s, dataset_removal *r, err *e);
err_code dataset_removed_columns(sqlite3_stmt *s, dataset_removed *r, err *e);

/* What table info holds of a key, `otherwise` when it has none. */
err_code dataset_info_int(dataset *d, const char *key, int64_t otherwise, int64_t *out, err *e);
err_code dataset_info_real(dataset *d, const char *key, double otherwise, double *out, err *e);

/* Whether `path` begins as a data set does: ERR_IO, ERR_FORMAT. */
err_code dataset_check_file(const char *path, err *e);

#endif
