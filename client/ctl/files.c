/* p2pctl files, receive. Threat: names come from strangers. So a file is written to the folder that
 * the user named and nowhere else, never over another, and its name is escaped on a terminal. The
 * daemon's copy is deleted only after ours is on disk and its digest is right. */
#include "client/common/output.h"
#include "client/common/words.h"
#include "client/ctl/ask.h"
#include "client/ctl/command.h"
#include "client/ctl/copy.h"
#include "client/ctl/listing.h"
#include "client/ctl/pages.h"
#include "client/ctl/target.h"
#include "shared/file_name.h"
#include "shared/text.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_READ_MAX 1024 /* bytes of a remote name that are looked at; then it is made safe */

static void file_row(struct table *table, const P2pd__Control__File *file) {
    char cell[TEXT_CELL_MAX], held[TEXT_CELL_MAX], both[2 * TEXT_CELL_MAX + 8];
    table_cell(table, words_file_is_outgoing(file) ? ">" : "<");
    table_cell(table, words_file(file));
    cell_address(&file->address, true, cell);
    table_cell(table, cell);
    cell_bytes(&file->name, cell);
    table_cell(table, cell);
    cell_size(file->size, cell);
    cell_size(file->held, held);
    snprintf(both, sizeof both, "%s of %s", held, cell);
    table_cell(table, file->held < file->size ? both : cell);
    cell_time(file->received_us ? file->received_us : file->sent_us, cell);
    table_cell(table, cell);
    /* In full, as cancel wants it. */
    text_hex(file->id.data, file->id.len < 16 ? file->id.len : 16, cell);
    table_cell(table, cell);
}

static enum exit_code list_page(void *state, const P2pd__Control__Answer *answer) {
    struct listing *listing = state;
    for (size_t i = 0; i < answer->n_files; i++)
        if (listing->table)
            file_row(listing->table, answer->files[i]);
        else
            listing_record(listing, &answer->files[i]->base);
    return CODE_DONE;
}

enum exit_code files_run(struct context *context) {
    static const char *const heads[] = {"", "STATE", "PEER", "NAME", "SIZE", "TIME", "ID"};
    struct listing listing;
    enum exit_code code = listing_begin(&listing, context, heads, sizeof heads / sizeof heads[0]);
    if (code == CODE_DONE)
        code = pages_run(context, PAGES_FILES, list_page, &listing);
    return listing_end(&listing, code);
}

/* ---- receive ---- */

/* A file to receive. All are listed before the first is taken, since the pages would move. */
struct incoming {
    uint8_t id[16], peer[32], digest[COPY_DIGEST_LEN];
    char name[FILE_NAME_SAFE_MAX + 1];
    uint64_t size;
};
struct receiving {
    const struct context *context;
    int folder;
    const char *folder_name;
    struct incoming *v;
    size_t n, room;
};

static bool is_wanted(const P2pd__Control__File *file) {
    return file->state == P2PD__CONTROL__FILE_STATE__FILE_WAITING && file->id.len == 16 &&
           file->peer.len == 32 && file->sha256.len == COPY_DIGEST_LEN && file->name.len > 0 &&
           file->name.len < NAME_READ_MAX;
}

static enum exit_code note_page(void *state, const P2pd__Control__Answer *answer) {
    struct receiving *receiving = state;
    char name[NAME_READ_MAX];
    for (size_t i = 0; i < answer->n_files; i++) {
        const P2pd__Control__File *file = answer->files[i];
        if (!is_wanted(file))
            continue;
        if (receiving->n == receiving->room) {
            size_t room = receiving->room ? 2 * receiving->room : 64;
            struct incoming *v = realloc(receiving->v, room * sizeof *v);
            if (!v)
                return complain(receiving->context, CODE_FAILED, "no memory");
            receiving->v = v;
            receiving->room = room;
        }
        struct incoming *incoming = &receiving->v[receiving->n++];
        memcpy(incoming->id, file->id.data, sizeof incoming->id);
        memcpy(incoming->peer, file->peer.data, sizeof incoming->peer);
        memcpy(incoming->digest, file->sha256.data, sizeof incoming->digest);
        incoming->size = file->size;
        snprintf(name, sizeof name, "%.*s", (int)file->name.len, (const char *)file->name.data);
        file_name_make_safe(name, incoming->name);
    }
    return CODE_DONE;
}

/* Open or take a file at the daemon. CODE_UNKNOWN, without a line: the file is not there any
 * more. */
static enum exit_code ask(const struct context *context, const struct incoming *incoming, bool take,
                          int *ret_fd) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__FileOpen open_it = P2PD__CONTROL__FILE_OPEN__INIT;
    P2pd__Control__FileTake take_it = P2PD__CONTROL__FILE_TAKE__INIT;
    P2pd__Control__Answer *answer = NULL;
    struct client *client = NULL;
    open_it.id = take_it.id = (ProtobufCBinaryData){16, (uint8_t *)incoming->id};
    open_it.sender = take_it.sender = (ProtobufCBinaryData){32, (uint8_t *)incoming->peer};
    request.command_case = take ? P2PD__CONTROL__REQUEST__COMMAND_FILE_TAKE
                                : P2PD__CONTROL__REQUEST__COMMAND_FILE_OPEN;
    if (take)
        request.file_take = &take_it;
    else
        request.file_open = &open_it;
    enum exit_code code = ask_open(context, &client);
    if (code == CODE_DONE)
        code = ask_send(context, client, &request);
    if (code == CODE_DONE)
        code = ask_try_fd(context, client, &answer, ret_fd);
    if (code == CODE_DONE)
        client_answer_free(answer);
    client_close(client);
    return code;
}

/* Other p2pctl may be receiving, too. Whoever holds the lock on the daemon's file copies it; the
 * lock goes with the descriptor, however we end. On a file system without locks all copy it. */
static bool is_ours_to_copy(int source) {
    struct stat st;
    if (flock(source, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return false;
    return fstat(source, &st) == 0 && st.st_nlink > 0;
}

/* Copy the file, compare the digest, and give the copy its name. The daemon checked the digest when
 * the file came; this check is for its disk and ours. */
static enum exit_code fetch(const struct receiving *receiving, const struct incoming *incoming,
                            int source, struct target *target) {
    char shown[TEXT_CELL_MAX];
    uint8_t digest[COPY_DIGEST_LEN];
    uint64_t size = 0;
    bool at_source;
    struct progress progress;
    const struct context *context = receiving->context;
    text_escape_string(incoming->name, shown, sizeof shown);
    progress_start(&progress, context, shown, 0, incoming->size);
    int r = copy_file(source, target->fd, incoming->size, &progress, &size, digest, &at_source);
    progress_end(&progress);
    bool is_right = size == incoming->size && memcmp(digest, incoming->digest, sizeof digest) == 0;
    if (r < 0 || !is_right)
        target_abandon(target);
    if ((r == -EFBIG && at_source) || (r == 0 && !is_right))
        return complain(context, CODE_FAILED,
                        "%s: what is in the daemon's folder is not what was received (its digest "
                        "is wrong): left there",
                        incoming->name);
    if (r == 0)
        r = target_name(target);
    return r < 0 ? complain(context, CODE_FAILED, "%s/%s: %s", receiving->folder_name,
                            incoming->name, strerror(-r))
                 : CODE_DONE;
}

static void report(const struct receiving *receiving, const struct incoming *incoming,
                   const struct target *target) {
    const ProtobufCBinaryData id = {16, (uint8_t *)incoming->id};
    struct json json = json_to_stdout();
    if (receiving->context->options.json) {
        json_open(&json, '{');
        json_key(&json, "id");
        json_hex(&json, &id);
        json_key(&json, "name");
        json_text(&json, target->final);
        json_key(&json, "size");
        json_number(&json, incoming->size);
        json_close(&json, '}');
        printf("\n");
    } else {
        output_escaped((const uint8_t *)target->final, strlen(target->final));
        printf("\n");
    }
}

static void make_key(const struct incoming *incoming, uint8_t ret_key[TARGET_KEY_LEN]) {
    uint8_t hash[crypto_generichash_BYTES_MIN];
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    crypto_generichash_update(&state, incoming->peer, sizeof incoming->peer);
    crypto_generichash_update(&state, incoming->id, sizeof incoming->id);
    crypto_generichash_final(&state, hash, sizeof hash);
    memcpy(ret_key, hash, TARGET_KEY_LEN);
}

/* Have the daemon delete its copy, now that ours has its name. If the daemon does not answer, our
 * copy stays marked, so that the next receive recognises it. */
static enum exit_code settle(const struct receiving *receiving, const struct incoming *incoming,
                             struct target *target) {
    int none = -1;
    enum exit_code code = ask(receiving->context, incoming, true, &none);
    if (none >= 0)
        close(none);
    if (code != CODE_DONE && code != CODE_UNKNOWN) {
        target_keep(target);
        return code;
    }
    target_end(target);
    report(receiving, incoming, target);
    return CODE_DONE;
}

static enum exit_code take(const struct receiving *receiving, const struct incoming *incoming,
                           int source) {
    uint8_t key[TARGET_KEY_LEN];
    struct target target;
    enum exit_code code = CODE_DONE;
    make_key(incoming, key);
    int r = target_create(&target, receiving->folder, incoming->name, key);
    if (r == -EBUSY)
        return CODE_DONE;
    if (r < 0)
        return complain(receiving->context, CODE_FAILED, "%s/%s: %s", receiving->folder_name,
                        incoming->name, strerror(-r));
    if (r == TARGET_NEW)
        code = fetch(receiving, incoming, source, &target);
    return code == CODE_DONE ? settle(receiving, incoming, &target) : code;
}

/* Receive one file. If another receive has taken it or is copying it, nothing is said about it. */
static enum exit_code receive_one(const struct receiving *receiving,
                                  const struct incoming *incoming) {
    int source = -1;
    enum exit_code code = ask(receiving->context, incoming, false, &source);
    if (code == CODE_UNKNOWN)
        return CODE_DONE;
    if (code == CODE_DONE && source < 0)
        code = complain(receiving->context, CODE_FAILED, "%s: the daemon gave no file",
                        incoming->name);
    if (code == CODE_DONE && is_ours_to_copy(source))
        code = take(receiving, incoming, source);
    if (source >= 0)
        close(source);
    return code;
}

enum exit_code receive_run(struct context *context) {
    struct receiving receiving = {.context = context};
    receiving.folder_name = context->n_arguments > 0 ? context->arguments[0] : ".";
    receiving.folder = open(receiving.folder_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (receiving.folder < 0)
        return complain(context, CODE_FAILED, "%s: %s", receiving.folder_name, strerror(errno));
    enum exit_code code = pages_run(context, PAGES_FILES, note_page, &receiving);
    for (size_t i = 0; i < receiving.n; i++) {
        enum exit_code one = receive_one(&receiving, &receiving.v[i]);
        if (one != CODE_DONE)
            code = one;
        if (one == CODE_NO_DAEMON)
            break;
    }
    if (code == CODE_DONE) /* otherwise a mark may be left that the next receive needs */
        target_clean(receiving.folder);
    free(receiving.v);
    close(receiving.folder);
    return code;
}
