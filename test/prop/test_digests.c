/* test_digests: one SHA-256 for the outputs of every kernel and format, the same on every instruction set, compiler and
 * machine. The table below is part of arithmetic version 1: a change of it is a new version.
 *
 * LOAM_DIGESTS=print prints the table of this build instead of comparing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/hash.h"
#include "kern/math64.h"
#include "prop/gen.h"

static const struct {
    const char *name, *digest;
} table[] = {
    {"product F32", "12ec68384d1de48f76df706fd96aad34ff9722186228fa7ec97b00e7916d65ed"},
    {"product F32, any bits", "2085730acaccf99faeb5adf253d608496b7c1d7c1828500556c9e3a0281bbee8"},
    {"product F16", "c2f73bb4660b11475417ef95ad63b1121bfea231ddf20abf22bfec1f0c0526f3"},
    {"product F16, any bits", "3daefb7c684bf68d726cf8c5d20f51aa16a987edc1a3041bbbfd6fc58fc28e07"},
    {"product BF16", "5bb13fe358d36abb5e302a30d7094f128fcaa07da2eb3dd8ab01541aeaeea355"},
    {"product BF16, any bits", "290a2fccdc2eeb9c5f42c681ed79874fecad64087ac146ff411bf0f6d6231ff3"},
    {"product Q4_0", "ec469265011edbfad7a194712eb26a9e6ba7e67f4e3c8549df3bd5bf414838a2"},
    {"product Q4_0, any bits", "08dc045cf576283010e97b78b569db6bb5f735404bc61a155edd84a5b8ff10aa"},
    {"product Q4_1", "b4bb65516ff5d79779ae72de115471a13f6bd054755dc84b927bf0de277ab163"},
    {"product Q4_1, any bits", "150bab704379e18130e063f5e8cb1deee60b2f0e19c1c5d2d7b811b9d823753b"},
    {"product Q5_0", "2f91f490ea8ce2fd7643e6f533158747946503db939349125b9d837bc1893211"},
    {"product Q5_0, any bits", "6a27daca38252826c96381793568c88f5954da8f64c8c2f3fd25fdc226606571"},
    {"product Q5_1", "5ea87e16df9b259e8641e6481e06347d0945daaba6bff2d8a55845cf319324d5"},
    {"product Q5_1, any bits", "e6314aa43eb607924a6a54548c7404ee829b56613af57302157c7afe3a93f8a8"},
    {"product Q8_0", "44da985a7f4ab3178c8a405f7906feea21614affd3a02ab61705788e26bb00f7"},
    {"product Q8_0, any bits", "48cda7757fce14b2953ffd22c1e5cbb3a2753d069162f14adf1c7f22e93ad297"},
    {"product Q2_K", "1bbc8e0f0c124b296ef5462ba49dae9a4a6f092d6fdc3f727648731106de67cc"},
    {"product Q2_K, any bits", "6cd291ce272ae49c495a9b0a50a8b31e28a43451008aca9b6398ad8c0b06dafb"},
    {"product Q3_K", "349aaa8932fbe3ce3e0b6ecae2093422cec738cbba35471d30a8193057725620"},
    {"product Q3_K, any bits", "50e9eab540d793f1cc56efb3298ae9d4d31e53088504546c07b1e9c500b41007"},
    {"product Q4_K", "b891042d23da052a87d5cb06e752cf39b518d5c68e0f13a736e18183225783e7"},
    {"product Q4_K, any bits", "04fb295b5b6e04a60443ec5d42202a73d2197cb4294dd861296225b7a98c6f10"},
    {"product Q5_K", "cd5fac93f97c6bfa0dc981c684e90d52c5444efa9ca6461f618367c3cd5b979c"},
    {"product Q5_K, any bits", "f74f73099a29e4aaaf7d3dc3c0fbb305125660f0d1b01e2382c7f29f435fbc9e"},
    {"product Q6_K", "ec550f9dfaff974f419919a8883327cf2882d3e685d4c3e030c392c96d553fd3"},
    {"product Q6_K, any bits", "dc177d93a7eadcbc60f856ff6dd1e7db7dc62ed202d49484767dcb61b8362eda"},
    {"dequantise F32", "a05995ba714ec15ac6d70167bfc54c3076bc2ea4e85e004dfa7b10c0f59027d9"},
    {"dequantise F32, any bits", "735a7d50f62144dc69236fda6b2652a66a9416aed5e23cb815c765e52786eac9"},
    {"dequantise F16", "763bcba4ff5b0d0aa2b112bcbbd78220e82f4e1bd55fc4680e4e534d42118112"},
    {"dequantise F16, any bits", "6db98d1d14f6e8e8145e26f398bf0b92e444b097fdc192f0b034ade2549dd663"},
    {"dequantise BF16", "68a58bc9006ffc582039ac1275f947655a83280fb181cd0cd2d6ac3d3f4fbc23"},
    {"dequantise BF16, any bits", "b2f4e600bf18f91f43e28c1b7e055095b5ee4f854b5022c0a9052fbf6e9d914e"},
    {"dequantise Q4_0", "5b30cd5d8d7a47a8bce0cd5aabaa053537de8ffb3b80f6287d1719ec460e8ffa"},
    {"dequantise Q4_0, any bits", "908b1c8d0ad1da898224565496c9ef6aec2b1cea042949a0d5510850ebcec97c"},
    {"dequantise Q4_1", "6bcb2c609513e4ebd57771fdcab15a814b42a5886522e24817f621a649015c51"},
    {"dequantise Q4_1, any bits", "50944aee7ebffbceaca9c5b11efa60a26b990b83895fcbfa8b97f85733b27e06"},
    {"dequantise Q5_0", "6793134d6e23dc6b82b272a0dc768bf895ceb91bb7dfbab498d75135bae04b74"},
    {"dequantise Q5_0, any bits", "2348383dff4aae19aaffcfffeea2e68c88eed95a910eb8b30f3b239dad1519f1"},
    {"dequantise Q5_1", "7d8b4f7f2ef2dc7966f72d9347ebcbfd336afd318f3793b38abb633c6b6d1343"},
    {"dequantise Q5_1, any bits", "557fbc780d9854793331f533dedb8ec47b641a5cc3257749727183ec274f2ba1"},
    {"dequantise Q8_0", "7b81a35878652bf1c826744b96b49499f44105ac053f5d94fd82cabf5379a57d"},
    {"dequantise Q8_0, any bits", "98a93033420891383082225d184bfceb442f7498ece17f940c3a655c40f24986"},
    {"dequantise Q2_K", "c0c7a2b4b776afa6405a6f5cc2ffb7b7b283d2006becbae891e184da17716851"},
    {"dequantise Q2_K, any bits", "55e8d730fc2ea6defe7e6d82361209963f6f82316fc48f823810d69425ad665d"},
    {"dequantise Q3_K", "0812995cadcc9aeb53b31de3d17f2f294c3708726f1c9584f762f1a00ca1cf27"},
    {"dequantise Q3_K, any bits", "0058533061a65152329d3846fa9b0d0f3cd05e19a1eedc1cb6ec3a7eafc36283"},
    {"dequantise Q4_K", "87ee998d36b439f733911a2ed65c6420b7b614b38896ad8a11444df1e3c6c4fe"},
    {"dequantise Q4_K, any bits", "acb4508547b23ccead2fc186b6b64af7801c837542d166b2af67df2bc076f6d4"},
    {"dequantise Q5_K", "4b9e153cffcab6c502b51260d25d17b1651b568d22350f450814770d34245906"},
    {"dequantise Q5_K, any bits", "05856bbf94eb5048a5a945d4172585623deec6343f6de9f0a004669ea1d2aef1"},
    {"dequantise Q6_K", "bd1e4cdc40f754bf525bb824b84e20e5487ace96ff1387ccdafbd784bb90b8dd"},
    {"dequantise Q6_K, any bits", "8beec2f438b396fcc1991fbd80631a56fc48ae32b3f7618a5b9d1c16cd1de057"},
    {"rmsnorm", "3d8c486ce014f41c46e7e3403c328435ad83e54c95a91e1d595fe1dd4075435d"},
    {"rmsnorm, no weight", "dc6021d89c7d9b2c9a64f7014a1a914982c9c863240ad7cf46e9600cf240614b"},
    {"silu", "a5c817db2be9fe0bd50c6e753cf003ad169df4dfc06c6f7f674300a92f002c36"},
    {"gelu_tanh", "10d08dfbc239eabe72d381ad4e0c03552fd762e8f0545edfe014d8e0979175dd"},
    {"gelu_erf", "7cbc3b4fdac83454f308266b7faded1b01a253e16442139645bc7b843172d93a"},
    {"add", "80c051a0af8ab8905b9ceb383822870f8ad69c4a709c61e876d8761e4af873ab"},
    {"add_scaled", "07031b84e9413cb389799097c06a1562a11083ccb1987cfeb18146840ebb926a"},
    {"scale", "8ecf4b71aeb8dcccdc36bfdd0330142e1ff9dc7b584c439e0c0f4fb982b7f12f"},
    {"softcap", "75d93a4d993abe1c9cdc11dc4ab4dff819cd79bb2fee7fee275d62808fb53598"},
    {"exp", "e16fe1d55844079452a44dfbcf112effd0b21301e908177a279f036a27df8aa0"},
    {"log", "ac64189ecbe7dc8a511bc29e423c1aedde3e76fd9f15b23cf28ce87fb61a4648"},
    {"tanh", "03e1ce578b801e0d6060ddf52589d58377066cc407698141794b7f0328d31561"},
    {"sin", "7ee7b9fda9ad4e18882bd6508ddf942e7f393788c6c51cdbbbb643d3eb930415"},
    {"cos", "bb54cec95e47729138a0a690686004bfa771bbca8319fba6ffb617e9ab7ea7e4"},
    {"erf", "809dd35f6c78bcdeebbdf21b9fd01d919f430a5e93c50950aa90c0dceb541b76"},
    {"rope", "ab64234fae2dfcc91d25304c857ebdc2c55cc35384c5fbbb2cdc733c4d76b971"},
    {"to_f16", "f4328d4335a02e6c63b4d694455912076230a54f86411da629b36518ca1751ad"},
    {"attention F32", "88dc06cb3a47353aefc5887d45c0b7e7c1770007152841f319620479054487b5"},
    {"attention F32, capped", "c77a0e850f2e0854fb478c1063ddacecccb89d2f2c5dd68380aa664621329255"},
    {"attention F16", "eb505e82dd54c077deb3aeea6118d810a9ac32eb8328f806863d7bd272f4054a"},
    {"attention F16, capped", "dce31ebad6e65a20a1c04100d5084fa01bb314802d7d989b0f27f3468a673048"},
    {"gemm", "c1d3ddbc876d9865bf1d8f5c5863fa83b82bba8a75f5b1715927e32642e12866"},
    {"gemm, turned", "83e67f2687e0f1d8c1019ccce7519cfa39b4a079ac45f0cb02d286b98d38ba27"},
    {"gemm, transposed and continued", "3f30674965861cef3d69c1d54f50c52be91f1e4c3f96e535280b6a3e74ad4fea"},
    {"dot and sum of squares", "70000437d192e03b1849c1ce092ec933b105a4748d480e855b472f596e1394d7"},
    {"rmsnorm_back", "39b7cf7c2b4a9af0d5ee6e86746673e3a48bd66b40bc4eaf87bab8ca0c0a9105"},
    {"rmsnorm_back, 1/rms", "6e0e7f59216ba49f1ccaf823a61b5e1daee069c30bc8e9d59da0efea6f7e2381"},
    {"norm_weight_back", "90ce533e9dbdc0086c95de6b0e330f88442ee328270521fb85060936f5fd29aa"},
    {"sum_rows", "df39d9d2912fb73704aad03f2cf4b9d17206ead2cb720a9a0cfe876cd6900e92"},
    {"silu_back", "b880fb039627142ac6ccf5ad930196f4ae0f2f85386dfe374f8c5978618513b2"},
    {"gelu_tanh_back", "25cf94859a5937403750276c86bf942cbd8132deaac66bc4391ce6bf7a0dcac7"},
    {"gelu_erf_back", "9835edac1685a116a17207a0220d6d7f048852b1083d9c0b71b37bf8b589fe52"},
    {"cross entropy", "b0a02abd7d4660302962cbfa5c6824b6eb27d6d102d9ab6321e46dac227726c9"},
    {"cross entropy, capped", "253bb81ced09a90cab8ac264b29f4d58302b9d2afc12d7fbe24ca17169b5185e"},
    {"adamw", "05ddfd3ee02af13da4d3912a95c9020f325d8687e3e34f99428f0457ff834657"},
    {"attention_back", "4a3b69c75836ef472a4a3f9ffa24ead3d58533960294cdc93b03a7d22e21d625"},
    {"attention_back, capped, window", "e2573bf00eba8bb4c3759803a22389393af256596048a47c64949170f0720977"},
    {"exp64", "a8200eae76948f27e2a60d8fe574b9834d472c98a4fc7ba26a487454d068554e"},
    {"log64", "7e0af8ad5bf2d9c69c4d2b9beaaab3bb19f2c0c64a13728af04d6daa3a668f02"},
    {"pow64", "f06cb9d316ebdf7c51930462a1f844de4182ebaf2613f03c374e359bb7e0b64e"},
    {"random", "4e330f13976b6e24368871c45ed1f636252b7ef1aaca355cadabbc90030d190c"},
};

static bool printing;
static int n_checked;

static void digest(const char *name, const char *isa, const void *data, size_t n) {
    char hex[65];
    hash_hex(hash_of(data, n), hex);
    n_checked++;
    if (printing) {
        printf("{\"%s\", \"%s\"},\n", name, hex);
        return;
    }
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) {
            if (strcmp(table[i].digest, hex))
                fail_msg("%s on %s: %s, must be %s", name, isa, hex, table[i].digest);
            return;
        }
    fail_msg("%s: not in the table", name);
}

static void digest_floats(const char *name, const kern_ops *o, float *y, size_t n) {
    o->canonical(y, n);
    digest(name, o->isa, y, n * 4);
}

static void products(const kern_ops *o) {
    enum { ROWS = 37, N = 15, LDY = 40 };
    static float x[N * 1024], y[N * LDY];
    for (int i = 0; i < DTYPE_COUNT; i++)
        for (int wild = 0; wild < 2; wild++) {
            dtype t = (dtype)i;
            char name[40];
            size_t block = dtype_table[t].block_elems, k = block == 1 ? 77 : block == 32 ? 160 : 512;
            size_t bytes = dtype_row_bytes(t, k);
            uint8_t *stored = gen_alloc(ROWS * bytes);
            gen_blocks(t, 1000 + (uint64_t)t, wild, stored, ROWS * k / block);
            for (size_t j = 0; j < N * k; j++) {
                x[j] = wild ? gen_wild(2000, j) : gen_f32(2000, j);
                if (wild && j / k % 2 && !(x[j] > -1e30f && x[j] < 1e30f))
                    x[j] = gen_f32(2001, j);
            }
            uint8_t *packed = gen_pack(t, stored, ROWS, k);
            void *acts = gen_acts(o, kern_acts_kind(t), x, k, N, k);
            memset(y, 0, sizeof y);
            o->product(t, packed, ROWS, k, 0, 3, acts, N, y, LDY);
            snprintf(name, sizeof name, "product %s%s", dtype_table[t].name, wild ? ", any bits" : "");
            digest_floats(name, o, y, N * LDY);
            free(acts);
            static float panel[16 * 1024];
            memset(panel, 0, sizeof panel);
            o->dequantise(t, packed, k, 2, panel);
            snprintf(name, sizeof name, "dequantise %s%s", dtype_table[t].name, wild ? ", any bits" : "");
            digest_floats(name, o, panel, k * 16);
            free(packed);
            free(stored);
        }
}

static void rows(const kern_ops *o) {
    enum { N = 4099 };
    static float a[N], b[N], y[N];
    static uint16_t h[N];
    for (size_t i = 0; i < N; i++) {
        a[i] = i % 2 ? gen_f32(3000, i) * 8 : gen_wild(3000, i);
        b[i] = gen_f32(3001, i);
    }
#define TAKE(name, call) \
    call;                \
    digest_floats(name, o, y, N)
    TAKE("rmsnorm", o->rmsnorm(b, b, N, 1e-5f, y));
    TAKE("rmsnorm, no weight", o->rmsnorm(b, NULL, N, 1e-5f, y));
    TAKE("silu", o->gated(KERN_SILU, a, b, N, y));
    TAKE("gelu_tanh", o->gated(KERN_GELU_TANH, a, b, N, y));
    TAKE("gelu_erf", o->gated(KERN_GELU_ERF, a, b, N, y));
    TAKE("add", o->add(a, b, N, y));
    TAKE("add_scaled", o->add_scaled(a, b, 0.22f, N, y));
    TAKE("scale", o->scale(a, 0.7f, N, y));
    TAKE("softcap", o->softcap(a, 30, N, y));
    TAKE("exp", o->exp(a, N, y));
    TAKE("log", o->log(a, N, y));
    TAKE("tanh", o->tanh(a, N, y));
    TAKE("sin", o->sin(a, N, y));
    TAKE("cos", o->cos(a, N, y));
    TAKE("erf", o->erf(a, N, y));
    memcpy(y, a, sizeof y);
    TAKE("rope", o->rope(y, b, b + 7, N / 2));
    for (size_t i = 0; i < N; i++)
        y[i] = a[i] == a[i] ? a[i] : b[i];
    o->to_f16(y, N, h);
    digest("to_f16", o->isa, h, sizeof h);
}

static void attention(const kern_ops *o) {
    enum { K = 40, N = 16, POSITIONS = 300 };
    static float q[N * K], out[N * K];
    void *scratch = gen_alloc(kern_attn_scratch_bytes(K));
    gen_row(4000, q, N * K);
    for (int f16 = 0; f16 < 2; f16++)
        for (int cap = 0; cap < 2; cap++) {
            gen_cache c = gen_cache_of(o, 4001, POSITIONS, K, f16);
            kern_kv kv = gen_kv(&c);
            kern_attn a = {0.158113883f, cap ? 20.0f : 0.0f};
            for (int i = 0; i < N; i++) {
                size_t hi = POSITIONS - N + 1 + (size_t)i;
                kern_query one = {.q = q + i * K, .out = out + i * K, .lo = i % 3 ? hi - 100 : 0, .hi = hi};
                o->attention(&kv, &a, &one, 1, scratch);
            }
            char name[40];
            snprintf(name, sizeof name, "attention %s%s", f16 ? "F16" : "F32", cap ? ", capped" : "");
            digest_floats(name, o, out, N * K);
            gen_cache_free(&c);
        }
    free(scratch);
}

/* The three products of a layer: y = x W^T, dx = dy W, dw = dy^T x; more than one part of a chain, odd rows and
 * outputs. */
static void gemms(const kern_ops *o) {
    enum { N = 23, IN = 290, OUT = 45, UP_IN = 304, UP_OUT = 48 };
    static float w[UP_OUT * IN], x[N * UP_IN], dy[N * UP_OUT], y[N * UP_OUT], dx[N * UP_IN], dw[UP_OUT * IN];
    void *scratch = gen_alloc(KERN_GEMM_SCRATCH);
    memset(y, 0, sizeof y);
    memset(dx, 0, sizeof dx);
    for (size_t i = 0; i < UP_OUT * IN; i++) /* panels [3][IN][16]; rows past the last are zeros */
        w[i] = i / 16 / IN * 16 + i % 16 < OUT ? gen_f32(6000, i) : 0;
    gen_row(6001, x, N * UP_IN);
    gen_row(6002, dy, N * UP_OUT);
    const kern_gemm forward = {x, w, y, UP_IN, 1, (size_t)IN * 16, 16, UP_OUT, 16, N, IN, OUT, false, false};
    o->gemm(&forward, 0, N, 0, 3, scratch);
    digest_floats("gemm", o, y, N * UP_OUT);
    const kern_gemm back = {dy, w, dx, UP_OUT, 1, (size_t)IN * 16, 0, UP_IN, 16, N, OUT, IN, true, false};
    o->gemm(&back, 0, N, 0, UP_IN / 16, scratch);
    digest_floats("gemm, turned", o, dx, N * UP_IN);
    memcpy(dw, w, sizeof dw); /* goes on from something */
    const kern_gemm weights = {x, dy, dw, 1, UP_IN, 16, UP_OUT, 16, (size_t)IN * 16, IN, N, OUT, false, true};
    o->gemm(&weights, 0, IN, 0, 3, scratch);
    digest_floats("gemm, transposed and continued", o, dw, UP_OUT * IN);
    free(scratch);
}

static void gradients(const kern_ops *o) {
    enum { N = 1031, ROWS = 5 };
    static float x[ROWS * N], dy[ROWS * N], w[N], y[N + 16], dup[N + 16], act[N + 16];
    float r[ROWS], stat[2];
    gen_row(6010, x, ROWS * N);
    gen_row(6011, dy, ROWS * N);
    gen_row(6012, w, N);
    y[0] = o->dot(x, dy, N);
    y[1] = o->sum_squares(x, N);
    digest_floats("dot and sum of squares", o, y, 2);
    for (int i = 0; i < ROWS; i++)
        o->rmsnorm_back(x + i * N, w, dy + i * N, i % 2 ? dy : NULL, N, 1e-5f, y, r + i);
    digest_floats("rmsnorm_back", o, y, N);
    digest_floats("rmsnorm_back, 1/rms", o, r, ROWS);
    memcpy(y, w, sizeof w);
    o->norm_weight_back(dy, x, N, r, ROWS, N, y);
    digest_floats("norm_weight_back", o, y, N);
    o->sum_rows(dy, N, ROWS, N, y);
    digest_floats("sum_rows", o, y, N);
    static const kern_activation f[] = {KERN_SILU, KERN_GELU_TANH, KERN_GELU_ERF};
    static const char *const name[] = {"silu_back", "gelu_tanh_back", "gelu_erf_back"};
    static float all[3 * N];
    for (int i = 0; i < 3; i++) {
        o->gated_back(f[i], x, x + N, dy, N, y, dup, act);
        memcpy(all, y, sizeof w);
        memcpy(all + N, dup, sizeof w);
        memcpy(all + 2 * N, act, sizeof w);
        digest_floats(name[i], o, all, 3 * N);
    }
    for (int cap = 0; cap < 2; cap++) {
        memcpy(y, x, sizeof w);
        y[N] = o->cross_entropy(y, N, 517, stat);
        y[N + 1] = stat[0];
        y[N + 2] = stat[1];
        o->cross_entropy_back(y, N, 517, stat, 0.75f, cap ? 30.0f : 0.0f, cap ? 0.5f : 1.0f);
        digest_floats(cap ? "cross entropy, capped" : "cross entropy", o, y, N + 3);
    }
    const kern_adamw a = {0.125f, 0.1f, 0.95f, 0.05f, 1.7f, 1e-8f, 3e-4f, 2e-3f};
    for (int i = 0; i < N; i++)
        dup[i] = x[i] * x[i];
    memcpy(y, w, sizeof w);
    memcpy(act, x, sizeof w);
    o->adamw(&a, dy, N, y, act, dup);
    memcpy(all, y, sizeof w);
    memcpy(all + N, act, sizeof w);
    memcpy(all + 2 * N, dup, sizeof w);
    digest_floats("adamw", o, all, 3 * N);
}

/* Two query heads that share a key's head, over a segment of more than two blocks. */
static void attention_back(const kern_ops *o) {
    enum { K = 24, STRIDE = 32, N = 150, PANELS = 160 };
    static float q[2][N * STRIDE], dout[2][N * STRIDE], k[N * STRIDE], v[N * STRIDE], kp[PANELS * K], vp[PANELS * K];
    static float stat[4 * N], delta[2 * N], grad[4][N * STRIDE]; /* dq of both, dk, dv */
    void *scratch = gen_alloc(KERN_ATTN_BACK_SCRATCH);
    gen_row(6020, k, N * STRIDE);
    gen_row(6021, v, N * STRIDE);
    for (size_t t = 0; t < N; t++)
        for (size_t d = 0; d < K; d++) {
            kp[(t / 16 * K + d) * 16 + t % 16] = k[t * STRIDE + d];
            vp[(t / 16 * K + d) * 16 + t % 16] = v[t * STRIDE + d];
        }
    for (size_t i = 0; i < 2 * N; i++) {
        stat[2 * i] = 8 + gen_f32(6022, i);
        stat[2 * i + 1] = 20 + gen_f32(6023, i);
        delta[i] = gen_f32(6024, i);
    }
    for (uint64_t h = 0; h < 2; h++) {
        gen_row(6030 + h, q[h], N * STRIDE);
        gen_row(6040 + h, dout[h], N * STRIDE);
    }
    for (int cap = 0; cap < 2; cap++) {
        const kern_attn a = {0.2f, cap ? 20.0f : 0.0f};
        memset(grad, 0, sizeof grad);
        for (int h = 0; h < 2; h++) {
            const kern_attn_back b = {q[h],      dout[h], k,           v,       kp, vp, stat + 2 * h,
                                      delta + h, grad[h], grad[2],     grad[3], N,  K,  STRIDE,
                                      STRIDE,    2,       cap ? 70 : 0};
            o->attention_back(&b, &a, KERN_BACK_Q | KERN_BACK_KV, 0, N, 0, N, scratch);
        }
        digest_floats(cap ? "attention_back, capped, window" : "attention_back", o, grad[0], 4 * N * STRIDE);
    }
    free(scratch);
}

static void scalars(void) {
    enum { N = 2000 };
    static double y[N];
    for (size_t i = 0; i < N; i++)
        y[i] = kern_exp64((rng_f64(5000, RNG_TEST, i) - 0.5) * 1500);
    digest("exp64", "binary64", y, sizeof y);
    for (size_t i = 0; i < N; i++)
        y[i] = kern_log64(kern_exp64((rng_f64(5001, RNG_TEST, i) - 0.5) * 1400));
    digest("log64", "binary64", y, sizeof y);
    for (size_t i = 0; i < N; i++)
        y[i] = kern_pow64(1 + 1e6 * rng_f64(5002, RNG_TEST, i), rng_f64(5003, RNG_TEST, i) - 0.25);
    digest("pow64", "binary64", y, sizeof y);
    for (size_t i = 0; i < N; i++)
        y[i] = rng_f64(5004, RNG_TEST, i);
    digest("random", "Philox", y, sizeof y);
}

static void digests(void **state) {
    (void)state;
    const kern_ops *isa[8];
    int n = gen_isas(isa), each = 0;
    const char *mode = getenv("LOAM_DIGESTS");
    printing = mode && strcmp(mode, "print") == 0;
    for (int s = printing ? n - 1 : 0; s < n; s++) {
        int before = n_checked;
        products(isa[s]);
        rows(isa[s]);
        attention(isa[s]);
        gemms(isa[s]);
        gradients(isa[s]);
        attention_back(isa[s]);
        each = n_checked - before;
    }
    scalars();
    if (!printing)
        assert_int_equal(each + 4, sizeof table / sizeof *table);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(digests)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
