/* feed: the bytes of one document after another, from files; not for others than ingest.c. */
#ifndef LOAM_STORE_FEED_H
#define LOAM_STORE_FEED_H

#include "store/build.h"
#include "store/writer.h"

typedef struct {
    const build_options *o;
    source_list *sources;
    dataset_file *record; /* [sources->n]: format, digest, bytes are set when a file ends */
    size_t next;          /* the file to open next */

    unpack *u; /* the open file, sources->file[next - 1] */
    bool is_json, started, at_end;
    bool is_binary; /* the piece that was given shows it; the rest of the file counts for its digest alone */
    split_mode split;
    strbuf bytes; /* bytes[used ..) are to be cut */
    size_t used, looked;
    uint64_t line; /* of bytes[used] */
    uint64_t done; /* bytes of the files before */
} feed;

typedef struct {
    size_t file; /* number of its source */
    bool is_json;
    uint64_t line; /* 0: the whole file */
    str bytes;     /* valid until the next call; of a whole file that holds a NUL no more than up to there */
} feed_piece;

/* The next document, or *got false at the end of all. An error names file and line; feed_skip() goes on behind it:
 * after a document that is too long with the next one where lines tell, else with the next file. */
err_code feed_next(feed *f, feed_piece *piece, bool *got, err *e);
void feed_skip(feed *f);
uint64_t feed_taken(const feed *f); /* bytes of all files read so far, as they stand on disk */
void feed_fini(feed *f);

#endif
