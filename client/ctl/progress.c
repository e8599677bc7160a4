/* See progress.h. */
#include "client/ctl/progress.h"

#include "client/common/table.h"
#include "client/common/width.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define DRAW_EVERY_MS 200
#define COLUMNS_UNKNOWN 80 /* if the terminal does not tell */
/* Columns that the name should have: parts after it are left out for that. */
#define NAME_WANTED 12
#define PARTS 4

static int64_t now_ms(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Asked each time, since the user may have changed the width. */
static size_t terminal_columns(void) {
    struct winsize size = {0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return COLUMNS_UNKNOWN;
    return size.ws_col;
}

void progress_start(struct progress *progress, const struct context *context, const char *what,
                    uint64_t already, uint64_t total) {
    *progress = (struct progress){.what = what, .total = total, .first = already, .done = already};
    progress->shown = isatty(STDERR_FILENO) && !context->options.quiet && !context->options.json;
    progress->started_ms = now_ms();
}

static void time_left(const struct progress *progress, double bytes_a_second, char *ret_text,
                      size_t room) {
    ret_text[0] = '\0';
    if (bytes_a_second <= 0 || progress->done > progress->total)
        return;
    double wait = (double)(progress->total - progress->done) / bytes_a_second;
    int64_t whole = wait < 360000 ? (int64_t)wait : 359999;
    snprintf(ret_text, room, "  %02" PRId64 ":%02" PRId64 ":%02" PRId64, whole / 3600,
             whole / 60 % 60, whole % 60);
}

/* Make the parts of the line after the name, the most important first; returns how many there
 * are. */
static size_t make_parts(const struct progress *progress, int64_t passed_ms,
                         char ret_parts[PARTS][64]) {
    char done[TEXT_CELL_MAX], total[TEXT_CELL_MAX], rate[TEXT_CELL_MAX];
    double seconds = (double)passed_ms / 1e3;
    double bytes_a_second = seconds > 0 ? (double)(progress->done - progress->first) / seconds : 0;
    cell_size(progress->done, done);
    cell_size((uint64_t)bytes_a_second, rate);
    if (progress->total == 0) {
        snprintf(ret_parts[0], sizeof ret_parts[0], "  %.20s", done);
        snprintf(ret_parts[1], sizeof ret_parts[1], "  %.20s/s", rate);
        return 2;
    }
    cell_size(progress->total, total);
    snprintf(ret_parts[0], sizeof ret_parts[0], "  %3.0f%%",
             100.0 * (double)progress->done / (double)progress->total);
    snprintf(ret_parts[1], sizeof ret_parts[1], "  %.20s of %.20s", done, total);
    snprintf(ret_parts[2], sizeof ret_parts[2], "  %.20s/s", rate);
    time_left(progress, bytes_a_second, ret_parts[3], sizeof ret_parts[3]);
    return 4;
}

void progress_line(const struct progress *progress, int64_t passed_ms, size_t columns,
                   char ret_line[PROGRESS_LINE_MAX]) {
    char parts[PARTS][64], name[PROGRESS_LINE_MAX - PARTS * 64];
    size_t n = make_parts(progress, passed_ms, parts), behind = 0;
    size_t wanted = width_of(progress->what), room = columns > 0 ? columns - 1 : 0;
    wanted = wanted < NAME_WANTED ? wanted : NAME_WANTED;
    for (size_t i = 0; i < n; i++)
        behind += strlen(parts[i]);
    while (n > 1 && behind + wanted > room)
        behind -= strlen(parts[--n]);
    ret_line[0] = '\0';
    if (behind > room)
        return;
    width_fit(progress->what, room - behind, name, sizeof name);
    snprintf(ret_line, PROGRESS_LINE_MAX, "%s", name);
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(ret_line);
        snprintf(ret_line + length, PROGRESS_LINE_MAX - length, "%s", parts[i]);
    }
}

void progress_set(struct progress *progress, uint64_t done) {
    char line[PROGRESS_LINE_MAX];
    progress->done = done;
    if (!progress->shown)
        return;
    int64_t now = now_ms();
    if (now - progress->drawn_ms < DRAW_EVERY_MS)
        return;
    progress->drawn_ms = now;
    progress_line(progress, now - progress->started_ms, terminal_columns(), line);
    fprintf(stderr, "\r%s\033[K", line);
}

void progress_end(struct progress *progress) {
    if (progress->shown && progress->drawn_ms)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}
