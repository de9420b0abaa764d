/* arch: one row a family; see arch.h. */
#include "model/arch.h"

static const arch table[] = {
    {.name = "llama",
     .hf = "LlamaForCausalLM",
     .gguf = "llama",
     .gguf_permuted = true,
     .finer_values = true,
     .otherwise = {.eps = 1e-6, .theta = 1e4}},
    {.name = "mistral",
     .hf = "MistralForCausalLM",
     .gguf_as = "llama",
     .finer_values = true,
     .slide = SLIDE_ALL,
     .otherwise = {.eps = 1e-6, .theta = 1e4, .kv_heads = 8, .window = 4096}},
    {.name = "qwen2",
     .hf = "Qwen2ForCausalLM",
     .gguf = "qwen2",
     .qkv_bias = true,
     .finer_values = true,
     .slide = SLIDE_FROM_LAYER,
     .otherwise = {.eps = 1e-6, .theta = 1e4, .kv_heads = 32, .window = 4096}},
    {.name = "qwen3",
     .hf = "Qwen3ForCausalLM",
     .gguf = "qwen3",
     .qk = QK_NORM_HEAD,
     .slide = SLIDE_FROM_LAYER,
     .otherwise = {.eps = 1e-6, .theta = 1e4, .head_width = 128, .kv_heads = 32, .window = 4096}},
    {.name = "gemma2",
     .hf = "Gemma2ForCausalLM",
     .gguf = "gemma2",
     .norm = NORM_SANDWICH,
     .act = KERN_GELU_TANH,
     .slide = SLIDE_BUT_LAST,
     .slide_period = 2,
     .norm_plus_one = true,
     .embed_sqrt = true,
     .softcaps = true,
     .otherwise = {.eps = 1e-6,
                   .theta = 1e4,
                   .head_width = 256,
                   .kv_heads = 4,
                   .window = 4096,
                   .tied = true,
                   .attn_softcap = 50,
                   .logit_softcap = 30,
                   .query_scalar = 256}},
    {.name = "gemma3_text",
     .hf = "Gemma3ForCausalLM",
     .gguf = "gemma3",
     .norm = NORM_SANDWICH,
     .qk = QK_NORM_HEAD,
     .act = KERN_GELU_TANH,
     .slide = SLIDE_BUT_LAST,
     .slide_period = 6,
     .local_rope = true,
     .norm_plus_one = true,
     .embed_sqrt = true,
     .softcaps = true,
     .otherwise = {.eps = 1e-6,
                   .theta = 1e6,
                   .theta_local = 1e4,
                   .head_width = 256,
                   .kv_heads = 4,
                   .window = 4096,
                   .tied = true,
                   .query_scalar = 256}},
    {.name = "olmo2",
     .hf = "Olmo2ForCausalLM",
     .gguf = "olmo2",
     .windowed = "olmo3",
     .norm = NORM_POST,
     .qk = QK_NORM_FULL,
     .otherwise = {.eps = 1e-5, .theta = 1e4}},
    {.name = "olmo3",
     .hf = "Olmo3ForCausalLM",
     .gguf_as = "olmo2",
     .norm = NORM_POST,
     .qk = QK_NORM_FULL,
     .slide = SLIDE_BUT_LAST,
     .slide_period = 4,
     .local_rope = true,
     .otherwise = {.eps = 1e-5, .theta = 5e5, .window = 4096}},
    {.name = "smollm3",
     .hf = "SmolLM3ForCausalLM",
     .gguf = "smollm3",
     .gguf_permuted = true,
     .slide = SLIDE_WHERE_NOPE,
     .nope_period = 4,
     .otherwise = {.eps = 1e-6, .theta = 2e6, .kv_heads = 4, .tied = true}},
    {.name = "phi3",
     .hf = "Phi3ForCausalLM",
     .gguf = "phi3",
     .partial_rope = true,
     .fused = true,
     .slide = SLIDE_ALL,
     .otherwise = {.eps = 1e-5, .theta = 1e4}},
    {.name = "granite",
     .hf = "GraniteForCausalLM",
     .gguf = "granite",
     .gguf_permuted = true,
     .multipliers = true,
     .otherwise = {.eps = 1e-6, .theta = 1e4}},
};

enum { ROWS = sizeof table / sizeof *table };

const arch *arch_by_name(str name) {
    for (int i = 0; i < ROWS; i++)
        if (str_is(name, table[i].name))
            return &table[i];
    return NULL;
}

const arch *arch_by_gguf(str name) {
    for (int i = 0; i < ROWS; i++)
        if (table[i].gguf && str_is(name, table[i].gguf))
            return &table[i];
    return NULL;
}

const char *arch_names(void) {
    return "llama (with Mistral and SmolLM2), qwen2, qwen3, gemma2, gemma3, olmo2, olmo3, smollm3, phi3, granite";
}
