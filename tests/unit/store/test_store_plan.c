/* link: daemon/io/store/store daemon/io/store/store_sql daemon/io/store/store_schema daemon/io/store/store_message daemon/io/store/store_part daemon/io/store/store_refused daemon/io/store/store_waiting daemon/io/store/store_history daemon/io/store/store_sweep daemon/io/store/store_copy daemon/io/store/store_disk daemon/io/store/disk daemon/io/store/store_file daemon/io/store/store_file_in daemon/io/store/store_file_out daemon/io/store/store_file_list daemon/io/store/store_file_room shared/file_name daemon/io/store/spool shared/text shared/address */
/* How SQLite means to carry out each statement: what grows with the messages is never walked
 * through. And how often the disk is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/store/store_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Whole tables on purpose. */
static const struct {
    enum store_statement which;
    const char *table, *why;
} scans[] = {
    {SQL_CONVERSATIONS, "conversation", "at start: all of them are wanted"},
    {SQL_RULES, "rule", "at start: all of them are wanted"},
    {SQL_MAIL_KEYS, "mail_key", "at start: all of them are wanted, one a day"},
    {SQL_NODES, "node", "at start: all of them are wanted"},
    {SQL_SPARES, "spare", "at start: all of them are wanted"},
    {SQL_NODE_UNPIN, "node", "nodes that are kept are few, and a user asked"},
    {SQL_OUT_FILES, "out_file", "the first row is enough"},
    {SQL_PART_HELD, "in_part", "at most 4096, and once a transaction in which one grows"},
};
/* Sorted on purpose. */
static const enum store_statement sorts[] = {
    SQL_PEERS,         /* as many as there are peers */
    SQL_PART_STALE_OF, /* as many as a sender may have unfinished */
    SQL_FILE_STALE_OF, /* the same */
    SQL_IN_ROW_OF      /* as many as senders have used one id */
};
/* What counts, and may read no row: a million of them are a second. */
static const enum store_statement counts[] = {SQL_IN_COUNT, SQL_OUT_UNREAD, SQL_PEER_COUNT_IN,
                                              SQL_PEER_COUNT_WAITING, SQL_PEER_COUNT_OUT};

#define MUCH (UINT64_C(4) << 30)

static struct store_db db;
static unsigned n_allowed; /* scans that were met */
static char path[64];

static int setup(void **state) {
    char error[FAILURE_MAX];
    (void)state;
    strcpy(path, "/tmp/p2pd-plan-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    if (store_db_open(&db, path, error))
        fail_msg("%s", error);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    store_db_close(&db);
    unlink(path);
    return 0;
}

static bool may_scan(enum store_statement which, const char *detail) {
    for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++)
        if (scans[i].which == which && strcmp(detail + strlen("SCAN "), scans[i].table) == 0) {
            n_allowed++;
            return true;
        }
    return false;
}
static bool is_among(enum store_statement which, const enum store_statement *some, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (some[i] == which)
            return true;
    return false;
}
/* Rows of the plan itself, of a subquery already made, of VALUES: nothing that grows. */
static bool is_table(const char *detail) {
    static const char *const tables[] = {"block",   "out_message",  "in_message", "in_part",
                                         "file_in", "out_file",     "file_span",  "file_charge",
                                         "usage",   "conversation", "node",       "rule",
                                         "spare",   "mail_key",     "meta"};
    char name[64] = "";
    sscanf(detail, "SCAN %63s", name);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (strcmp(name, tables[i]) == 0)
            return true;
    return strcmp(name, "m") == 0 || strcmp(name, "f") == 0; /* aliases */
}

static unsigned check_line(enum store_statement which, const char *sql, const char *detail) {
    bool scans_it = strncmp(detail, "SCAN ", 5) == 0 && is_table(detail) &&
                    !strstr(detail, " INDEX ") && !may_scan(which, detail);
    bool sorts_it = strstr(detail, "TEMP B-TREE FOR ORDER BY") &&
                    !is_among(which, sorts, sizeof sorts / sizeof sorts[0]);
    bool reads_it = is_among(which, counts, sizeof counts / sizeof counts[0]) &&
                    !strstr(detail, "COVERING INDEX");
    if (scans_it || sorts_it || reads_it)
        print_error("%s\n    %s\n", sql, detail);
    return scans_it || sorts_it || reads_it;
}

static unsigned check_plan(enum store_statement which) {
    struct query query = query_begin(&db, which);
    const char *sql = query.statement ? sqlite3_sql(query.statement) : NULL;
    sqlite3_stmt *plan;
    char explain[4096];
    unsigned wrong = 0;
    if (!sql)
        fail_msg("statement %d: %s", which, sqlite3_errmsg(db.sqlite));
    assert_true(snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql) <
                (int)sizeof explain);
    assert_int_equal(sqlite3_prepare_v2(db.sqlite, explain, -1, &plan, NULL), SQLITE_OK);
    while (sqlite3_step(plan) == SQLITE_ROW)
        wrong += check_line(which, sql, (const char *)sqlite3_column_text(plan, 3));
    sqlite3_finalize(plan);
    query_end(&query);
    return wrong;
}

static void test_nothing_that_grows_is_walked_through(void **state) {
    unsigned wrong = 0;
    (void)state;
    for (int which = 0; which < SQL_COUNT; which++)
        wrong += check_plan((enum store_statement)which);
    assert_int_equal(wrong, 0);
}

/* So that the list of exceptions does not outlive its reasons, and a scan is seen where there is
 * one. */
static void test_exceptions_are_needed(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++) {
        unsigned allowed = n_allowed;
        check_plan(scans[i].which);
        if (n_allowed != allowed + 1)
            fail_msg("exception %zu is not needed", i);
    }
}

/* Where much is free what was seen of it holds for some transactions: a look costs a lone message
 * some percent of its processor time. */
static void test_the_disk_is_looked_at_now_and_then(void **state) {
    struct disk_share share = {0};
    (void)state;
    store_disk_open(&db, &(struct store_config){0});
    assert_true(db.disk.is_looked);
    db.disk.space.free = MUCH;
    store_disk_promise(&db, 100);
    store_disk_begin(&db);
    assert_true(db.disk.is_looked);
    assert_true(db.disk.promised >= 100); /* that room is not promised again */
    db.disk.space.free = MUCH;            /* but nothing is refused for what was seen earlier: */
    db.disk.promised = db.disk.promised_before = UINT64_MAX / 2;
    assert_int_equal(store_disk_take(&db, share, 1, 1), 0);
    db.disk.space.free = MUCH;
    db.disk.looked_us -= US_PER_S;
    store_disk_begin(&db);
    assert_false(db.disk.is_looked);
    assert_int_equal(db.disk.promised, 0);
    assert_int_equal(store_disk_take(&db, share, 1, 1), 0);
    assert_true(db.disk.is_looked);
    db.disk.space.free = MUCH;
    store_disk_promise(&db, 1 << 20); /* much */
    store_disk_begin(&db);
    assert_false(db.disk.is_looked);
    assert_int_equal(store_disk_take(&db, share, 1, 1), 0);
    db.disk.space.free = 1 << 20; /* little */
    store_disk_begin(&db);
    assert_false(db.disk.is_looked);
    store_disk_release(&db); /* its file is gone */
    store_disk_close(&db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_that_grows_is_walked_through, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exceptions_are_needed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_disk_is_looked_at_now_and_then, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
