/* chat_learn: the ids of a conversation that is over, and which of them a model shall learn to say.
 *
 * The ids are those of chat_encode() without a generation prompt: what transformers' apply_chat_template() gives, but
 * that no message can spell a control token (chat.h). A token is learned when one of its bytes is in the text of a
 * chosen message:
 *
 *   1. Where the template says {% generation %}, an assistant's text is what stands in these blocks.
 *   2. Else message i is what stands between two renderings, both of which must begin the whole text: messages [0, i),
 *      for an assistant with the words that open its turn, and messages [0, i]. What is blank behind the message's end
 *      token is not learned: no model says it.
 *   3. A template may write an earlier turn in another way than the last one (Qwen 3 leaves thoughts out, and writes
 *      empty ones into the last). Then the message is the longest end of messages [0, i] that stands in the whole
 *      text at its place. By rule 2 or 3, it must hold the message's content, but for thoughts and blanks around it.
 *   4. A template may move texts about (a system text into the last question). Then the message is what changes in
 *      the whole text when a character nobody uses takes the content's place, and the end token right behind it.
 *
 *   <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n
 *   ......................................................[==============].       learned
 *
 * Where none of these finds the message, there is an error that names it. A tokenizer that rewrites text (a normalizer)
 * is given the texts in pieces, cut where learning begins and ends; all others see the whole.
 *
 * Proved by test_chat_learn.c, test_chat_golden.c (ids and masks of transformers), fuzz_examples.c.
 */
#ifndef LOAM_GEN_CHAT_LEARN_H
#define LOAM_GEN_CHAT_LEARN_H

#include "gen/chat.h"

/* Zero-initialise; what is there is added to. */
typedef struct {
    tok_ids ids;
    strbuf learn; /* a byte an id: 1: is learned, 0: is not */
} learned_ids;
void learned_fini(learned_ids *x);

/* learn[n]: which messages. w belongs to the template's tokenizer. After a failure *out is as it was. A template that
 * refuses: ERR_FORMAT, as from chat_encode(); a message that cannot be told from the rest: ERR_UNSUPPORTED. */
err_code chat_learn(const chat_template *c, const chat_message *m, const bool *learn, size_t n, const chat_options *o,
                    tok_work *w, learned_ids *out, err *e);

/* The ids of a plain text, of which bytes [from, text.n) are learned, by tokenizer_encode()'s flags. */
err_code learn_text(const tokenizer *t, tok_work *w, str text, size_t from, unsigned flags, learned_ids *out, err *e);

#endif
