/* link: client/ctl/progress client/common/width client/common/table shared/text shared/address */
/* The line of progress fits the terminal, whatever its width and the name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/common/width.h"
#include "client/ctl/progress.h"
#include "shared/text.h"

#include <stdio.h>
#include <string.h>

/* client/output.c would say what it could not write. */
enum exit_code complain(const struct context *context, enum exit_code code, const char *format,
                        ...) {
    (void)context, (void)format;
    return code;
}

#define MIDDLE "\xe4\xb8\xad" /* two columns */
#define ACCENT "e\xcc\x81"    /* one */

static void widths(void **state) {
    (void)state;
    assert_int_equal(width_of(""), 0);
    assert_int_equal(width_of("plain.txt"), 9);
    assert_int_equal(width_of("gr\xc3\xbc\xc3\x9f"), 4);
    assert_int_equal(width_of(MIDDLE MIDDLE ".txt"), 8);
    assert_int_equal(width_of(ACCENT ACCENT), 2);
    assert_int_equal(width_of("\xef\xbc\xa1\xed\x95\x9c\xf0\x9f\x98\x80\xf0\xa0\x80\x80"), 8);
}

static void texts_are_cut_in_their_middle(void **state) {
    static const struct {
        const char *text;
        size_t columns;
        const char *fit;
    } cases[] = {
        {"holiday.jpg", 11, "holiday.jpg"},
        {"holiday.jpg", 20, "holiday.jpg"},
        {"holiday.jpg", 10, "holi...jpg"},
        {"holiday.jpg", 9, "holi..jpg"},
        {"holiday.jpg", 3, "h.."},
        {"holiday.jpg", 2, "ho"},
        {"holiday.jpg", 1, "h"},
        {"holiday.jpg", 0, ""},
        {MIDDLE MIDDLE MIDDLE MIDDLE, 8, MIDDLE MIDDLE MIDDLE MIDDLE},
        {MIDDLE MIDDLE MIDDLE MIDDLE, 7, MIDDLE ".." MIDDLE},
        {MIDDLE MIDDLE MIDDLE MIDDLE, 6, MIDDLE ".." MIDDLE},
        {MIDDLE MIDDLE MIDDLE MIDDLE, 5, MIDDLE ".."},
        {ACCENT ACCENT ACCENT ACCENT ACCENT, 4, ACCENT ".." ACCENT},
        {MIDDLE, 1, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char fit[64];
        width_fit(cases[i].text, cases[i].columns, fit, sizeof fit);
        assert_string_equal(fit, cases[i].fit);
    }
}

static void a_line_is_never_wider_than_the_terminal(void **state) {
    char ascii[256], chinese[256];
    const char *const names[] = {"a", "holiday.jpg", ascii, chinese, "\\x1b[31m"};
    (void)state;
    for (size_t i = 0; i < sizeof ascii - 1; i++)
        ascii[i] = (char)('a' + i % 26);
    ascii[255] = chinese[0] = '\0';
    for (size_t i = 0; i < 85; i++)
        memcpy(chinese + 3 * i, MIDDLE, 4);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (size_t columns = 0; columns <= 400; columns++)
            for (int known = 0; known < 2; known++) {
                char line[PROGRESS_LINE_MAX];
                struct progress progress = {.what = names[i],
                                            .total = known ? UINT64_C(1) << 40 : 0,
                                            .done = UINT64_C(1) << 39};
                progress_line(&progress, 3600000, columns, line);
                assert_true(columns == 0 ? line[0] == '\0' : width_of(line) < columns);
                assert_true(text_is_utf8((const uint8_t *)line, strlen(line)));
                if (columns >= 8 && known)
                    assert_non_null(strstr(line, " 50%"));
                if (columns >= 20)
                    assert_true(line[0] == names[i][0]);
            }
}

static void what_a_line_says(void **state) {
    struct progress progress = {.what = "big.iso", .total = 400 << 20, .done = 100 << 20};
    char line[PROGRESS_LINE_MAX];
    (void)state;
    progress_line(&progress, 10000, 80, line);
    assert_string_equal(line, "big.iso   25%  100.0M of 400.0M  10.0M/s  00:00:30");
    progress_line(&progress, 10000, 46, line);
    assert_string_equal(line, "big.iso   25%  100.0M of 400.0M  10.0M/s");
    progress_line(&progress, 10000, 35, line);
    assert_string_equal(line, "big.iso   25%  100.0M of 400.0M");
    progress_line(&progress, 10000, 20, line);
    assert_string_equal(line, "big.iso   25%");
    progress_line(&progress, 10000, 11, line);
    assert_string_equal(line, "b..o   25%");
    progress.total = 0;
    progress_line(&progress, 10000, 80, line);
    assert_string_equal(line, "big.iso  100.0M  10.0M/s");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths),
        cmocka_unit_test(texts_are_cut_in_their_middle),
        cmocka_unit_test(a_line_is_never_wider_than_the_terminal),
        cmocka_unit_test(what_a_line_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
