/* See config.h. inih as distributions build it cuts lines at 199 bytes and section names at 49
 * without a word, takes indented lines for second values, strips " ;" tails, ignores what
 * follows a ']', and tells its handler no line numbers. So it is fed through a reader that
 * counts lines and refuses, in words, whatever inih would read differently from a person. */
#include "daemon/config/config.h"
#include "daemon/config/config_value.h"
#include "daemon/core/seam/step.h"

#include "shared/paths.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_MAX_INIH 199
#define FILE_MAX_BYTES (1024 * 1024)

struct reader {
    const char *at, *end, *file;
    int line;
    bool lost; /* below a section that does not exist: its keys are no mistakes of their own */
    struct config *config;
    int *lines;
    struct config_mistakes *mistakes;
};

static bool is_full(const struct config_mistakes *mistakes) {
    return mistakes->n == CONFIG_MISTAKES_MAX;
}

/* Always -EINVAL. */
static int __attribute__((format(printf, 2, 3)))
note(struct config_mistakes *mistakes, const char *format, ...) {
    va_list args;
    if (is_full(mistakes))
        return -EINVAL;
    va_start(args, format);
    vsnprintf(mistakes->v[mistakes->n++], FAILURE_MAX, format, args);
    va_end(args);
    return -EINVAL;
}

static bool refuse(struct reader *reader, const char *why) {
    note(reader->mistakes, "%s:%d: %s", reader->file, reader->line, why);
    return false;
}

/* ---- Lines ---- */

static bool is_section_known(const char *name, size_t length) {
    for (size_t i = 0; i < config_n_keys; i++)
        if (strlen(config_keys[i].section) == length &&
            memcmp(config_keys[i].section, name, length) == 0)
            return true;
    return false;
}

static bool check_section(struct reader *reader, const char *line, size_t length) {
    const char *close = memchr(line, ']', length);
    reader->lost = true;
    if (!close)
        return refuse(reader, "a section's name ends in ']'");
    if (close + 1 != line + length)
        return refuse(reader, "nothing may follow a section's name on its line");
    if (!is_section_known(line + 1, (size_t)(close - line - 1))) {
        char why[FAILURE_MAX];
        failure(why, 0, "unknown section %.*s", (int)(close - line + 1), line);
        return refuse(reader, why);
    }
    reader->lost = false;
    return true;
}

static bool check_line(struct reader *reader, const char *line, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
            return refuse(reader, "control character");
        if (line[i] == ';' && i > 0 && (line[i - 1] == ' ' || line[i - 1] == '\t'))
            return refuse(reader, "a comment must have a line of its own (';' after a space)");
    }
    if (length > LINE_MAX_INIH)
        return refuse(reader, "longer than 199 bytes");
    if (line[0] == ' ' || line[0] == '\t')
        return refuse(reader, "indented: a line must begin in the first column");
    if (line[0] == '[')
        return check_section(reader, line, length);
    if (!memchr(line, '=', length) && !memchr(line, ':', length))
        return refuse(reader, "neither a section nor 'key = value'");
    return !reader->lost;
}

/* An ini_reader: one line, without its end, or NULL at the end of the file or of our patience.
 * Comments need not be passed on, and what is wrong must not be. */
static char *read_line(char *buffer, int size, void *context) {
    struct reader *reader = context;
    if (is_full(reader->mistakes) || reader->at == reader->end)
        return NULL;
    const char *line = reader->at;
    const char *newline = memchr(line, '\n', (size_t)(reader->end - line));
    size_t length = (size_t)((newline ? newline : reader->end) - line);
    reader->at = newline ? newline + 1 : reader->end;
    reader->line++;
    while (length > 0 && strchr(" \t\r", line[length - 1]) && line[length - 1])
        length--;
    size_t indent = 0;
    while (indent < length && (line[indent] == ' ' || line[indent] == '\t'))
        indent++;
    buffer[0] = '\0';
    if (indent == length || line[indent] == '#' || line[indent] == ';')
        return buffer;
    if (!check_line(reader, line, length) || length >= (size_t)size)
        return buffer;
    memcpy(buffer, line, length);
    buffer[length] = '\0';
    return buffer;
}

static int take_value(void *context, const char *section, const char *name, const char *value) {
    struct reader *reader = context;
    char why[FAILURE_MAX];
    const struct config_key *key = config_find(section, name);
    if (!key) {
        failure(why, 0, *section ? "unknown key %s.%s" : "key %s%s outside any section", section,
                name);
        refuse(reader, why);
    } else if (config_set(reader->config, key, value, why) < 0) {
        refuse(reader, why);
    } else if (reader->lines) {
        reader->lines[key - config_keys] = reader->line;
    }
    return 1;
}

int config_parse(struct config *config, const char *file, const char *bytes, size_t length,
                 int *lines, struct config_mistakes *mistakes) {
    const size_t before = mistakes->n;
    /* What PowerShell writes: every other byte would be a control character. */
    if (length >= 2 && (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0))
        return note(mistakes, "%s:1: this is UTF-16: save it as UTF-8", file);
    static const char mark[3] = "\xef\xbb\xbf"; /* some editors begin UTF-8 with it */
    if (length >= sizeof mark && memcmp(bytes, mark, sizeof mark) == 0) {
        bytes += sizeof mark;
        length -= sizeof mark;
    }
    struct reader reader = {.at = bytes,
                            .end = bytes + length,
                            .file = file,
                            .config = config,
                            .lines = lines,
                            .mistakes = mistakes};
    int bad = ini_parse_stream(read_line, &reader, take_value, &reader);
    if (bad != 0 && mistakes->n == before)
        note(mistakes, "%s:%d: cannot be read", file, bad);
    return mistakes->n > before ? -EINVAL : 0;
}

/* ---- Files ---- */

/* Into one buffer that the caller frees. */
static int read_file(const char *path, char **ret_bytes, size_t *ret_length) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    char *bytes = malloc(FILE_MAX_BYTES + 1);
    size_t length = 0;
    ssize_t n = bytes ? 1 : -1;
    while (n > 0 && length <= FILE_MAX_BYTES) {
        n = read(fd, bytes + length, FILE_MAX_BYTES + 1 - length);
        length += n > 0 ? (size_t)n : 0;
    }
    int r = !bytes ? -ENOMEM : n < 0 ? -errno : length > FILE_MAX_BYTES ? -EFBIG : 0;
    close(fd);
    if (r < 0) {
        free(bytes);
        return r;
    }
    *ret_bytes = bytes;
    *ret_length = length;
    return 0;
}

static int load_file(const struct config_source *source, struct config *config, int *lines,
                     struct config_mistakes *mistakes) {
    char *bytes = NULL;
    size_t length = 0;
    int r = read_file(source->file, &bytes, &length);
    if (r == -ENOENT && source->file_may_be_missing)
        return 0;
    if (r < 0) {
        note(mistakes, "%s: %s", source->file, strerror(-r));
        return r;
    }
    r = config_parse(config, source->file, bytes, length, lines, mistakes);
    free(bytes);
    return r;
}

/* ---- All sources together ---- */

struct loading {
    const struct config_source *source;
    struct config *config;
    int *lines; /* 0: not in the file */
    bool *overridden;
    struct config_mistakes *mistakes;
};

static int apply_overrides(struct loading *l) {
    char why[FAILURE_MAX];
    int r = 0;
    for (size_t i = 0; i < l->source->n_overrides; i++) {
        const struct config_override *override = &l->source->overrides[i];
        bool *seen = &l->overridden[override->key - config_keys];
        if (!*seen) /* an option replaces the file's values, and its repetitions add up */
            config_clear(l->config, override->key);
        *seen = true;
        if (config_set(l->config, override->key, override->value, why) < 0)
            r = note(l->mistakes, "%s", why);
    }
    for (size_t i = 0; i < l->source->n_peers; i++)
        if (config_set(l->config, config_find("network", "peer"), l->source->peers[i], why) < 0)
            r = note(l->mistakes, "%s", why);
    return r;
}

/* Blame a pair of keys that do not go together on the one that was set last. */
static int blame(struct loading *l, const char *section1, const char *name1, const char *section2,
                 const char *name2, const char *relation) {
    const struct config_key *key1 = config_find(section1, name1),
                            *key2 = config_find(section2, name2);
    int line1 = l->overridden[key1 - config_keys] ? 0 : l->lines[key1 - config_keys];
    int line2 = l->overridden[key2 - config_keys] ? 0 : l->lines[key2 - config_keys];
    bool by_option = l->overridden[key1 - config_keys] || l->overridden[key2 - config_keys];
    char value1[CONFIG_VALUE_MAX], value2[CONFIG_VALUE_MAX], where[CONFIG_PATH_MAX + 16] = "";
    config_value_format(l->config, key1, 0, value1);
    config_value_format(l->config, key2, 0, value2);
    if (!by_option && (line1 > 0 || line2 > 0))
        snprintf(where, sizeof where, "%s:%d: ", l->source->file, line1 > line2 ? line1 : line2);
    return note(l->mistakes, "%s%s.%s (%s) %s %s.%s (%s)", where, section1, name1, value1, relation,
                section2, name2, value2);
}

static bool is_asked(const struct loading *l, const char *section, const char *name) {
    size_t i = (size_t)(config_find(section, name) - config_keys);
    return l->overridden[i] || l->lines[i] > 0;
}

/* What strangers may cost us where nobody said so. Who has no configuration is in the network of
 * the default name, with all others who have none. */
#define PUBLIC_RELAY_RATE (1024 * 1024)
#define OPEN_DISK_FREE 20

static void adapt_to_network(struct config *c) {
    const struct config_asked *asked = &c->asked;
    const char *public = config_find("network", "name")->initial;
    c->network_is_open = c->network_secret_file[0] == '\0';
    c->network_is_public = c->network_is_open && strcmp(c->network_name, public) == 0;
    if (!asked->files_accept)
        c->files_accept = c->network_is_public ? FILES_KNOWN : FILES_ALL;
    if (!asked->relay_rate)
        c->relay_rate = c->network_is_public ? PUBLIC_RELAY_RATE : 0;
    if (!asked->disk_free)
        c->disk_free = c->network_is_open ? OPEN_DISK_FREE : 0;
    c->inbox_free = asked->disk_free || !asked->inbox_max ? c->disk_free : 0;
    c->files_free = asked->disk_free || !asked->files_max ? c->disk_free : 0;
}

static void note_asked(const struct loading *l) {
    l->config->asked = (struct config_asked){
        .files_accept = is_asked(l, "files", "accept"),
        .relay_rate = is_asked(l, "relay", "rate"),
        .disk_free = is_asked(l, "limits", "disk_free"),
        .inbox_max = is_asked(l, "inbox", "max"),
        .files_max = is_asked(l, "files", "max"),
    };
}

/* A default yields to what was asked: "pool.max = 2" alone is no contradiction. */
static void adapt_defaults(struct loading *l) {
    struct config *c = l->config;
    if (c->pool_min > c->pool_max && !is_asked(l, "pool", "min"))
        c->pool_min = c->pool_max;
    if (*c->control_group && !is_asked(l, "control", "mode"))
        c->control_mode = 0660; /* or the group would be let in, and kept out */
    if (c->link_heartbeat_us < c->link_timeout_us)
        return;
    if (!is_asked(l, "link", "heartbeat"))
        c->link_heartbeat_us = c->link_timeout_us / 3;
    else if (!is_asked(l, "link", "timeout"))
        c->link_timeout_us = 3 * c->link_heartbeat_us;
}

static int check_relations(struct loading *l) {
    const struct config *c = l->config;
    int r = 0;
    adapt_defaults(l);
    if (c->pool_min > c->pool_max)
        r = blame(l, "pool", "min", "pool", "max", "is greater than");
    if (c->link_heartbeat_us >= c->link_timeout_us)
        r = blame(l, "link", "heartbeat", "link", "timeout", "is not less than");
    return r;
}

/* Where nothing is said: what `find` says; and what is said lasts. */
static int finish_path(struct loading *l, char *path, int (*find)(char *, size_t), const char *what,
                       const char *option) {
    char why[FAILURE_MAX];
    if (*path == '\0' && find(path, CONFIG_PATH_MAX) < 0) {
        *path = '\0';
        return note(l->mistakes, "no place for the %s: no home folder is known; give %s", what,
                    option);
    }
    if (config_make_absolute(l->source->folder, path, why) < 0)
        return note(l->mistakes, "%s", why);
    return 0;
}

/* The state's own folder for files, unless another is given. */
static int finish_files(struct loading *l) {
    char why[FAILURE_MAX], *path = l->config->files_directory;
    if (*path == '\0' &&
        snprintf(path, CONFIG_PATH_MAX, "%s/files", l->config->state) >= CONFIG_PATH_MAX)
        return note(l->mistakes, "files.directory: must be set, %s/files would be too long",
                    l->config->state);
    if (config_make_absolute(l->source->folder, path, why) < 0)
        return note(l->mistakes, "%s", why);
    return 0;
}

int config_make_absolute(const char *folder, char path[CONFIG_PATH_MAX], char error[FAILURE_MAX]) {
    char whole[2 * CONFIG_PATH_MAX];
    if (*path == '\0' || *path == '/')
        return 0;
    snprintf(whole, sizeof whole, "%s/%s", folder, path);
    if (strlen(whole) >= CONFIG_PATH_MAX)
        return failure(error, -EINVAL, "%s: the path is too long", path);
    memcpy(path, whole, strlen(whole) + 1);
    return 0;
}

static void listen_everywhere(struct config *config) {
    config->listen_by_default = config->listen.n == 0;
    if (!config->listen_by_default)
        return;
    address_parse("0.0.0.0:58008", &config->listen.v[0]);
    address_parse("[::]:58008", &config->listen.v[1]);
    config->listen.n = 2;
}

static int finish(struct loading *l) {
    struct config *config = l->config;
    char why[FAILURE_MAX];
    int r = check_relations(l);
    note_asked(l);
    adapt_to_network(config);
    if (finish_path(l, config->control_socket, paths_socket, "control socket", "--socket") < 0)
        r = -EINVAL;
    if (config_make_absolute(l->source->folder, config->network_secret_file, why) < 0)
        r = note(l->mistakes, "%s", why);
    if (finish_path(l, config->state, paths_state, "state", "--state") < 0 || finish_files(l) < 0)
        r = -EINVAL;
    listen_everywhere(config);
    return r;
}

int config_load(const struct config_source *source, struct config *ret_config,
                struct config_mistakes *ret_mistakes) {
    struct config *config = malloc(sizeof *config);
    bool *overridden = calloc(config_n_keys, sizeof *overridden);
    struct loading loading = {source, config, config ? config->lines : NULL, overridden,
                              ret_mistakes};
    int r = -ENOMEM;
    assert(config_n_keys <= CONFIG_KEYS_MAX);
    ret_mistakes->n = 0;
    if (!config || !overridden) {
        note(ret_mistakes, "out of memory");
    } else {
        config_init(config);
        r = *source->file ? load_file(source, config, config->lines, ret_mistakes) : 0;
        if (apply_overrides(&loading) < 0 && r == 0)
            r = -EINVAL;
        if (r == 0)
            r = finish(&loading);
        for (size_t i = 0; i < config_n_keys; i++)
            if (overridden[i])
                config->lines[i] = 0;
        if (r == 0)
            *ret_config = *config;
    }
    free(overridden);
    free(config);
    return r;
}

int config_blame(const struct config_source *source, const struct config *config,
                 const char *section, const char *name, const char *why,
                 struct config_mistakes *mistakes) {
    int line = config->lines[config_find(section, name) - config_keys];
    if (line == 0)
        return note(mistakes, "%s.%s: %s", section, name, why);
    return note(mistakes, "%s:%d: %s.%s: %s", source->file, line, section, name, why);
}

void config_keep_fixed(struct config *fresh, const struct config *running,
                       void (*tell)(void *context, const struct config_key *key), void *context) {
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        char *field = (char *)fresh + key->offset;
        const char *was = (const char *)running + key->offset;
        if (key->reloadable || memcmp(field, was, key->size) == 0)
            continue;
        tell(context, key);
        memcpy(field, was, key->size);
    }
    adapt_to_network(fresh); /* it is still the network that it was */
}

int config_dump(const struct config *config, FILE *out) {
    const char *section = "";
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        char value[CONFIG_VALUE_MAX];
        size_t n = config_value_count(config, key);
        if (strcmp(section, key->section) != 0)
            fprintf(out, "%s[%s]\n", *section ? "\n" : "", key->section);
        section = key->section;
        fprintf(out, "# %s\n", key->doc);
        if (n == 0)
            fprintf(out, "#%s =\n", key->name);
        for (size_t j = 0; j < n; j++) {
            config_value_format(config, key, j, value);
            fprintf(out, "%s = %s\n", key->name, value);
        }
    }
    return fflush(out) != 0 || ferror(out) ? -EIO : 0;
}
