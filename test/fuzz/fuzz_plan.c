/* plan: any bytes as a plan for one of 4096 orders. The first two bytes choose the order. */
#include <stdint.h>
#include <stdlib.h>

#include "world/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n < 2)
        return 0;
    uint64_t number = (uint64_t)(data[0] | data[1] << 8) % 4096;
    draw d = draw_begin(1, 0, number);
    plan_task task;
    plan_draw(&d, 1 + (unsigned)(number % 3), SPLIT_TRAIN, &task);
    err e = {0};
    str plan = {(const char *)data + 2, n - 2};
    err_code code = plan_check(&task, plan, &e);
    if ((code == ERR_OK) != (e.code == ERR_OK) || (code != ERR_OK && !e.text[0]))
        abort();
    /* What does nothing may stand anywhere at the end. */
    strbuf longer = {0};
    if (strbuf_add(&longer, plan, NULL) == ERR_OK && strbuf_add(&longer, STR("\n \t\r\n"), NULL) == ERR_OK &&
        longer.n <= PLAN_BYTES_MAX && plan_check(&task, strbuf_str(&longer), NULL) != code)
        abort();
    strbuf_fini(&longer);
    return 0;
}
