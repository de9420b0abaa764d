/* schema: the tables of a data set, version 1; doc/data.md explains them field by field.
 *
 * A file is a data set when its header says so (application_id, user_version) and its schema is exactly these tables,
 * spelt exactly so: nothing else in the file is ever run. Ids are given once: 1, 2, ... in the order of the sources,
 * and never again after a removal. Nothing in the file depends on time, threads or the machine.
 */
#ifndef LOAM_STORE_SCHEMA_H
#define LOAM_STORE_SCHEMA_H

enum { SCHEMA_APPLICATION_ID = 0x4c6f616d /* "Loam" */, SCHEMA_VERSION = 1 };

/* name, columns */
#define SCHEMA_TABLES(X)                                                                                            \
    X(documents, "id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, bytes INTEGER NOT NULL, file INTEGER NOT NULL, "    \
                 "name TEXT NOT NULL, source TEXT NOT NULL, licence TEXT NOT NULL, topic TEXT NOT NULL, "           \
                 "kind TEXT NOT NULL, meta TEXT NOT NULL, duplicate_of INTEGER, near_of INTEGER, similarity REAL")  \
    X(texts, "id INTEGER PRIMARY KEY, text TEXT NOT NULL")                                                          \
    X(files, "id INTEGER PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, format TEXT NOT NULL, "             \
             "sha256 BLOB NOT NULL, bytes INTEGER NOT NULL, documents INTEGER NOT NULL, empty INTEGER NOT NULL, "   \
             "brief INTEGER NOT NULL, binary INTEGER NOT NULL, encoding INTEGER NOT NULL, "                         \
             "malformed INTEGER NOT NULL, repaired INTEGER NOT NULL, duplicate INTEGER NOT NULL, "                  \
             "near INTEGER NOT NULL, removed INTEGER NOT NULL")                                                     \
    X(removals, "id INTEGER PRIMARY KEY, condition TEXT NOT NULL, note TEXT NOT NULL, documents INTEGER NOT NULL, " \
                "bytes INTEGER NOT NULL, digest_before BLOB NOT NULL, digest_after BLOB NOT NULL")                  \
    X(removed, "id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, bytes INTEGER NOT NULL, removal INTEGER NOT NULL")    \
    X(info, "key TEXT PRIMARY KEY, value TEXT NOT NULL")

#define SCHEMA_CREATE(name, columns) "CREATE TABLE " #name "(" columns ") STRICT"

#endif
