/* origin: see origin.h. */
#include "trace/origin.h"

#include "base/os.h"

enum { BLOCK_BYTES = 4096, BLOCKS = 64 };
static const char MARK[] = "loam origin 1\n";

err_code origin_of_file(const char *path, hash256 *out, err *e) {
    os_map m;
    hash_state *h;
    uint8_t size[8];
    TRY(os_map_open(&m, path, e));
    err_code code = hash_open(&h, e);
    if (code == ERR_OK) {
        for (int i = 0; i < 8; i++)
            size[i] = (uint8_t)((uint64_t)m.n >> 8 * i);
        hash_add(h, MARK, sizeof MARK - 1);
        hash_add(h, size, sizeof size);
        if (m.n <= BLOCKS * BLOCK_BYTES)
            hash_add(h, m.p, m.n);
        else
            for (size_t i = 0; i < BLOCKS; i++)
                hash_add(h,
                         m.p + (m.n - BLOCK_BYTES) / (BLOCKS - 1) * i +
                             (i == BLOCKS - 1 ? (m.n - BLOCK_BYTES) % (BLOCKS - 1) : 0),
                         BLOCK_BYTES);
        *out = hash_close(h);
    }
    os_map_close(&m);
    return code;
}

hash256 origin_of_text(str description) { return hash_of(description.p, description.n); }
