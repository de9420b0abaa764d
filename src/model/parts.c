/* parts: the table of a layer's weights; see parts.h. */
#include "model/parts.h"

#include <stddef.h>
#include <string.h>

#include "kern/panel.h"

void parts_of(const model_config *c, part out[PARTS]) {
    const arch *a = c->arch;
    bool pre = a->norm != NORM_POST, post = a->norm != NORM_PRE, norms = a->qk != QK_NORM_NONE;
    bool full = a->qk == QK_NORM_FULL, biased = c->bias_required;
    size_t q = c->H * c->K, g = c->G * c->K;
#define AT(field) offsetof(layer, field)
    const part all[PARTS] = {
        {"input_layernorm.weight", c->D, 0, pre, AT(attn_pre)},
        {"post_attention_layernorm.weight", c->D, 0, post, AT(attn_post)},
        {post ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight", c->D, 0, pre, AT(ffn_pre)},
        {"post_feedforward_layernorm.weight", c->D, 0, post, AT(ffn_post)},
        {"self_attn.q_norm.weight", full ? q : c->K, 0, norms, AT(q_norm)},
        {"self_attn.k_norm.weight", full ? g : c->K, 0, norms, AT(k_norm)},
        {"self_attn.q_proj.weight", q, c->D, true, AT(q)},
        {"self_attn.q_proj.bias", q, 0, biased, AT(q_bias)},
        {"self_attn.k_proj.weight", g, c->D, true, AT(k)},
        {"self_attn.k_proj.bias", g, 0, biased, AT(k_bias)},
        {"self_attn.v_proj.weight", g, c->D, true, AT(v)},
        {"self_attn.v_proj.bias", g, 0, biased, AT(v_bias)},
        {"self_attn.o_proj.weight", c->D, q, true, AT(o)},
        {"self_attn.o_proj.bias", c->D, 0, false, AT(o_bias)},
        {"mlp.gate_proj.weight", c->F, c->D, true, AT(gate)},
        {"mlp.gate_proj.bias", c->F, 0, false, AT(gate_bias)},
        {"mlp.up_proj.weight", c->F, c->D, true, AT(up)},
        {"mlp.up_proj.bias", c->F, 0, false, AT(up_bias)},
        {"mlp.down_proj.weight", c->D, c->F, true, AT(down)},
        {"mlp.down_proj.bias", c->D, 0, false, AT(down_bias)},
    };
#undef AT
    memcpy(out, all, sizeof all);
}

size_t part_floats(size_t rows, size_t cols) {
    return cols ? panel_bytes(DTYPE_F32, rows, cols) / sizeof(float) : rows;
}
