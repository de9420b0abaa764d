/* debcopy: licences of a Debian copyright file: names to SPDX, paragraphs, patterns, what an installed file matches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "text/debcopy.h"

static void names_become_spdx(void **state) {
    (void)state;
    static const struct {
        const char *debian, *spdx;
    } cases[] = {
        {"", ""},
        {"  ", ""},
        {"Expat", "MIT"},
        {"GPL-2", "GPL-2.0-only"},
        {"GPL-2+", "GPL-2.0-or-later"},
        {"GPL-2.0+", "GPL-2.0-or-later"},
        {"GPL-2.0-or-later", "GPL-2.0-or-later"},
        {"gpl-3", "GPL-3.0-only"},
        {"LGPL-2.1+", "LGPL-2.1-or-later"},
        {"AGPL-3", "AGPL-3.0-only"},
        {"GPL-7", "LicenseRef-GPL-7"},
        {"GPL", "LicenseRef-GPL"},
        {"GFDL-1.2", "GFDL-1.2-only"},
        {"GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"},
        {"CC-BY-SA-3.0", "CC-BY-SA-3.0"},
        {"cc-by-4.0", "CC-BY-4.0"},
        {"CC-BY-NC-ND-2.5", "CC-BY-NC-ND-2.5"},
        {"CC-BY-9.0", "LicenseRef-CC-BY-9.0"},
        {"CC0", "CC0-1.0"},
        {"BSD-3-clause", "BSD-3-Clause"},
        {"Apache-2.0", "Apache-2.0"},
        {"public-domain", "LicenseRef-public-domain"},
        {"Public domain", "LicenseRef-Public-domain"},
        {"LicenseRef-x", "LicenseRef-x"},
        {"GPL-2+ with OpenSSL exception", "LicenseRef-GPL-2-with-OpenSSL-exception"},
        {"Artistic or GPL-1+", "Artistic-1.0-Perl OR GPL-1.0-or-later"},
        {"Perl", "(Artistic-1.0-Perl OR GPL-1.0-or-later)"},
        {"MIT and ISC or Zlib", "MIT AND ISC OR Zlib"},
        {"GPL-2+ or Artistic-2.0, and BSD-3-clause", "(GPL-2.0-or-later OR Artistic-2.0) AND BSD-3-Clause"},
        {"MIT, ISC", "MIT AND ISC"},
        {"MIT, or ISC, and Zlib", "(MIT OR ISC) AND Zlib"},
        {"MIT,", "MIT"},
        {"MIT or", "MIT OR LicenseRef-unknown"},
        {"or MIT", "LicenseRef-unknown OR MIT"},
        {"<weird & \xff>", "LicenseRef-weird"},
        {"%%%", "LicenseRef"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        strbuf out = {0};
        assert_int_equal(debcopy_spdx(str_from(cases[i].debian), &out, NULL), ERR_OK);
        if (!str_is(strbuf_str(&out), cases[i].spdx))
            fail_msg("%s: %.*s", cases[i].debian, STR_ARG(strbuf_str(&out)));
        strbuf_fini(&out);
    }
}

static void patterns(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool want;
    } cases[] = {
        {"*", "", true},
        {"*", "a/b", true},
        {"a*", "a/b/c", true},
        {"*.c", "x/y.c", true},
        {"*.c", "y.h", false},
        {"a?c", "abc", true},
        {"a?c", "a/c", true},
        {"a?c", "ac", false},
        {"\\*", "*", true},
        {"\\*", "x", false},
        {"a\\?", "a?", true},
        {"*a*b*c", "xaybzc", true},
        {"*a*b*c", "xaybz", false},
        {"", "", true},
        {"", "a", false},
        {"abc", "abcd", false},
        {"a\\", "a\\", true},
        {"*aab", "aaaaaaab", true},
        {"a**b", "ab", true},
        {"?", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (debcopy_match(str_from(cases[i].pattern), str_from(cases[i].path)) != cases[i].want)
            fail_msg("%s on %s", cases[i].pattern, cases[i].path);
}

static const char sample[] = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
                             "Upstream-Name: X-Files\n"
                             "License: MIT\n"
                             "\n"
                             "Files: *\n"
                             "Copyright: 1998, Jane Doe\n"
                             "License: GPL-2+\n"
                             " This program is free software.\n"
                             " .\n"
                             " Files: of no concern here\n"
                             "\n"
                             "# a comment\n"
                             "Files: data/*.txt\n"
                             "       poems/ode-?.txt\n"
                             "Copyright: A. Poet\n"
                             "License: CC-BY-SA-4.0\n"
                             "\t \n"
                             "files: README\n"
                             "license: public-domain\n"
                             "\n"
                             "Files: debian/*\n"
                             "License: ISC\n"
                             "\n"
                             "License: GPL-2+\n"
                             " Full text.\n";

static void files_find_their_licence(void **state) {
    (void)state;
    static const struct {
        const char *path, *licence, *files;
    } cases[] = {
        {"/usr/share/x/data/one.txt", "CC-BY-SA-4.0", "data/*.txt\n       poems/ode-?.txt"},
        {"/usr/share/doc/x/data/one.txt", "CC-BY-SA-4.0", NULL},
        {"/usr/share/x/poems/ode-3.txt", "CC-BY-SA-4.0", NULL},
        {"/usr/share/x/poems/ode-33.txt", "GPL-2.0-or-later", "*"},
        {"/usr/lib/x/sub/data/one.txt", "CC-BY-SA-4.0", NULL},
        {"/usr/share/doc/x/README", "LicenseRef-public-domain", "README"},
        {"/usr/share/x/README.txt", "GPL-2.0-or-later", NULL},
        {"/usr/share/x/debian/rules", "GPL-2.0-or-later", NULL},
        {"/etc/x/x.conf", "GPL-2.0-or-later", NULL},
    };
    debcopy c;
    assert_int_equal(debcopy_read(&c, STR(sample), NULL), ERR_OK);
    assert_int_equal(c.n, 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        str files, licence = debcopy_find(&c, STR("x"), str_from(cases[i].path), &files);
        if (!str_is(licence, cases[i].licence) || (cases[i].files && !str_is(files, cases[i].files)))
            fail_msg("%s: %.*s by %.*s", cases[i].path, STR_ARG(licence), STR_ARG(files));
    }
    debcopy_fini(&c);
}

static str find_in(const char *text, const char *path, debcopy *c) {
    str files;
    assert_int_equal(debcopy_read(c, str_from(text), NULL), ERR_OK);
    return debcopy_find(c, STR("x"), str_from(path), &files);
}

#define HEAD "Format: http://dep.debian.net/deps/dep5\n\n"

static void what_is_not_told_is_unknown(void **state) {
    (void)state;
    debcopy c;
    assert_true(str_is(find_in(HEAD, "/usr/share/x/a", &c), ""));
    debcopy_fini(&c);
    assert_true(str_is(find_in(HEAD "Files: a\nLicense: MIT\n\nFiles: b\nLicense: ISC\n", "/usr/share/x/c", &c), ""));
    debcopy_fini(&c);
    assert_true(
        str_is(find_in(HEAD "Files: a\nLicense: MIT\n\nFiles: b\nLicense: MIT\n", "/usr/share/x/c", &c), "MIT"));
    debcopy_fini(&c);
    assert_true(str_is(find_in(HEAD "Files: *\nLicense:\n some text\n", "/usr/share/x/c", &c), ""));
    debcopy_fini(&c);
    assert_true(str_is(find_in(HEAD "Files: *\nCopyright: me\n", "/usr/share/x/c", &c), ""));
    debcopy_fini(&c);
    assert_true(
        str_is(find_in(HEAD "Files: *\nLicense: MIT\n\nFiles: *\nLicense: ISC\n", "/usr/share/x/c", &c), "ISC"));
    debcopy_fini(&c);
}

static void other_texts_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        err_code code;
        const char *why;
    } cases[] = {
        {"", ERR_UNSUPPORTED, "not machine-readable"},
        {"This is the copyright file of some package.\nIt is free.\n", ERR_UNSUPPORTED, "not machine-readable"},
        {"Name: x\nLicense: MIT\n\nFiles: *\nLicense: MIT\n", ERR_UNSUPPORTED, "not machine-readable"},
        {"Format: something else\n\nFiles: *\nLicense: MIT\n", ERR_UNSUPPORTED, "not machine-readable"},
        {HEAD "Files: *\nno field\n", ERR_FORMAT, "line 4: is no field"},
        {HEAD " goes on\n", ERR_FORMAT, "line 3: continues no field"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        debcopy c;
        err e = {0};
        assert_int_equal(debcopy_read(&c, str_from(cases[i].text), &e), cases[i].code);
        assert_non_null(strstr(e.text, cases[i].why));
        assert_int_equal(c.n, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_spdx),        cmocka_unit_test(patterns),
        cmocka_unit_test(files_find_their_licence), cmocka_unit_test(what_is_not_told_is_unknown),
        cmocka_unit_test(other_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
