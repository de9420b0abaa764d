/* schema_rules: the rules that every schema's grammar can use, and the formats of strings.
 *
 * White space and digits are bounded, or a model that is lost would print them for ever. A \u escape never is half a
 * surrogate pair. Formats: RFC 3339 (date, time; days that there are, leap years too), RFC 3339 appendix A (duration),
 * RFC 4122 (uuid), RFC 5321 without quoting (email), RFC 1123 (hostname), RFC 2673 (ipv4), RFC 4291 (ipv6), RFC 3986
 * with an authority (uri).
 */
#include <string.h>

#include "text/schema_int.h"

static const char rules[] =
    "json-ws ::= ( \" \" | \"\\n\" [ \\t]{0,20} )?\n"
    "json-value ::= json-object | json-array | json-string | json-number | json-boolean | \"null\"\n"
    "json-object ::= \"{\" json-ws ( json-pair ( \",\" json-ws json-pair )* )? json-ws \"}\"\n"
    "json-pair ::= json-string \":\" json-ws json-value\n"
    "json-array ::= \"[\" json-ws ( json-value ( \",\" json-ws json-value )* )? json-ws \"]\"\n"
    "json-boolean ::= \"true\" | \"false\"\n"
    "json-integer ::= \"-\"? json-whole\n"
    "json-whole ::= \"0\" | [1-9] [0-9]{0,15}\n"
    "json-number ::= json-integer ( \".\" [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,2} )?\n"
    "json-string ::= \"\\\"\" json-char* \"\\\"\"\n"
    "json-escape ::= \"\\\\\" ( [\"\\\\/bfnrt] | \"u\" json-unit )\n"
    "json-unit ::= [0-9A-CE-Fa-ce-f] json-hex{3} | [Dd] [0-7] json-hex{2} |\n"
    "  [Dd] [89ABab] json-hex{2} \"\\\\u\" [Dd] [C-Fc-f] json-hex{2}\n"
    "json-hex ::= [0-9A-Fa-f]\n"
    "json-day ::= json-year \"-\" ( ( \"0\" [13578] | \"1\" [02] ) \"-\" ( \"0\" [1-9] | [12] [0-9] | \"3\" [01] ) |\n"
    "  ( \"0\" [469] | \"11\" ) \"-\" ( \"0\" [1-9] | [12] [0-9] | \"30\" ) |\n"
    "  \"02-\" ( \"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8] ) ) | json-leap-year \"-02-29\"\n"
    "json-year ::= \"000\" [1-9] | \"00\" [1-9] [0-9] | \"0\" [1-9] [0-9]{2} | [1-9] [0-9]{3}\n"
    "json-leap-year ::= [0-9]{2} json-fourth | json-fourth \"00\"\n"
    "json-fourth ::= \"0\" [48] | [2468] [048] | [13579] [26]\n"
    "json-clock ::= ( [01] [0-9] | \"2\" [0-3] ) \":\" [0-5] [0-9] \":\" [0-5] [0-9] ( \".\" [0-9]{1,6} )?\n"
    "json-zone ::= \"Z\" | [-+] ( [01] [0-9] | \"2\" [0-3] ) \":\" [0-5] [0-9]\n"
    "json-time ::= json-clock json-zone\n"
    "json-date-time ::= json-day \"T\" json-clock json-zone\n"
    "json-count ::= \"0\" | [1-9] [0-9]{0,4}\n"
    "json-dur-time ::= \"T\" ( json-count \"H\" ( json-count \"M\" ( json-count \"S\" )? )? |\n"
    "  json-count \"M\" ( json-count \"S\" )? | json-count \"S\" )\n"
    "json-dur-date ::= json-count \"D\" | json-count \"M\" ( json-count \"D\" )? |\n"
    "  json-count \"Y\" ( json-count \"M\" ( json-count \"D\" )? )?\n"
    "json-duration ::= \"P\" ( json-dur-date json-dur-time? | json-dur-time | json-count \"W\" )\n"
    "json-uuid ::= json-hex{8} ( \"-\" json-hex{4} ){3} \"-\" json-hex{12}\n"
    "json-atom ::= [A-Za-z0-9_+-]\n"
    "json-email ::= json-atom{1,30} ( \".\" json-atom{1,30} )? \"@\" json-host\n"
    "json-label ::= [a-z0-9] ( [a-z0-9-]{0,30} [a-z0-9] )?\n"
    "json-host ::= json-label ( \".\" json-label ){1,3}\n"
    "json-octet ::= [0-9] | [1-9] [0-9] | \"1\" [0-9]{2} | \"2\" [0-4] [0-9] | \"25\" [0-5]\n"
    "json-ipv4 ::= json-octet ( \".\" json-octet ){3}\n"
    "json-group ::= json-hex{1,4}\n"
    "json-ipv6 ::= json-group ( \":\" json-group ){7} |\n"
    "  json-group ( \":\" json-group ){0,2} \"::\" ( json-group ( \":\" json-group ){0,2} )? |\n"
    "  \"::\" ( json-group ( \":\" json-group ){0,5} )?\n"
    "json-uri ::= ( ( \"http\" \"s\"? | [a-z] [a-z0-9+.-]{1,10} ) \"://\" json-host ( \":\" [1-9] [0-9]{0,3} "
    ")?\n"
    "  ( \"/\" json-uri-char* )? ( \"?\" json-uri-char* )? ( \"#\" json-uri-char* )? )\n"
    "json-uri-char ::= [A-Za-z0-9._~!$&'()*+,;=:@/-] | \"%\" json-hex{2}\n";

/* Where marks begin with '<', no string has one; a bare one has no escapes. */
static const char plain_char[] = "json-char ::= [^\"\\\\\\x00-\\x1F] | json-escape\n",
                  char_in_notation[] = "json-char ::= [^\"\\\\\\x00-\\x1F<] | json-escape\n"
                                       "json-bare ::= [^\\x00<]\n";

err_code schema_shared_rules(const schema_notation *how, strbuf *out, err *e) {
    TRY(strbuf_add(out, STR(rules), e));
    return strbuf_add(out, str_from(how ? char_in_notation : plain_char), e);
}

const char *schema_format_rule(str format) {
    static const struct {
        const char *name, *rule;
    } formats[] = {
        {"date", "json-day"},  {"time", "json-time"},   {"date-time", "json-date-time"}, {"duration", "json-duration"},
        {"uuid", "json-uuid"}, {"email", "json-email"}, {"hostname", "json-host"},       {"ipv4", "json-ipv4"},
        {"ipv6", "json-ipv6"}, {"uri", "json-uri"},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (str_is(format, formats[i].name))
            return formats[i].rule;
    return NULL;
}
