/* link: daemon/core/base/base daemon/io/control/control daemon/io/control/control_client daemon/io/control/control_give daemon/io/control/control_request daemon/io/control/control_session daemon/io/control/control_output daemon/io/control/control_send daemon/io/control/control_socket daemon/io/control/control_convert daemon/io/control/control_encode daemon/io/control/control_text daemon/io/control/dest shared/frame shared/message_id shared/text shared/address proto/control.pb-c */
/* Files and backups: what comes and goes by descriptor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/control/fake_control.h"

#include <fcntl.h>
#include <sys/stat.h>

static void send_send(struct fake *fake, int fd, const char *name) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Send send = P2PD__CONTROL__SEND__INIT;
    uint8_t id[MESSAGE_ID_LEN] = {7};
    send.to = (char *)"10.0.0.1";
    send.id = (ProtobufCBinaryData){sizeof id, id};
    send.name = (char *)name;
    send.expire_us = 77;
    send.shards_k = 3;
    send.shards_m = 2;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_SEND;
    request.send = &send;
    send_request(fake, fd, &request);
}

static void send_done(struct fake *fake, int fd, uint64_t size, size_t digest_length) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__SendDone done = P2PD__CONTROL__SEND_DONE__INIT;
    uint8_t digest[FILE_DIGEST_LEN + 1] = {0xd1, 0x9e};
    done.size = size;
    done.sha256 = (ProtobufCBinaryData){digest_length, digest};
    done.wait = true;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_SEND_DONE;
    request.send_done = &done;
    send_request(fake, fd, &request);
}

/* A client that has its descriptor and is copying. */
static int begin_send(struct fake *fake, int *ret_file) {
    size_t before = fake->requests;
    int fd = connect_to(fake);
    send_send(fake, fd, "photo.jpg");
    run_until(fake, fake->requests == before + 1);
    answer_text(fake, ANSWER_OK);
    P2pd__Control__Answer *answer = read_answer_fd(fake, fd, ret_file);
    assert_int_equal(answer->code, ANSWER_OK);
    assert_false(answer->end);
    p2pd__control__answer__free_unpacked(answer, NULL);
    assert_true(*ret_file >= 0);
    return fd;
}

static void test_a_file_is_sent(void **state) {
    struct fake *fake = *state;
    char bytes[8] = "";
    int file, fd = connect_to(fake);
    send_send(fake, fd, "photo.jpg");
    run_until(fake, fake->requests == 1);
    assert_int_equal(fake->last.kind, REQUEST_PUSH);
    assert_int_equal(fake->last.push.kind, KIND_FILE);
    assert_true(fake->last.push.check);
    assert_string_equal(fake->file.name, "photo.jpg");
    assert_int_equal(fake->spool_made, 0);
    answer_text(fake, ANSWER_OK);
    p2pd__control__answer__free_unpacked(read_answer_fd(fake, fd, &file), NULL);
    assert_true(fcntl(file, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(file, "content", 7), 7);
    close(file);
    assert_int_equal(pread(fake->spool_fd, bytes, 7, 0), 7);
    assert_string_equal(bytes, "content");

    send_done(fake, fd, 7, FILE_DIGEST_LEN);
    run_until(fake, fake->requests == 2);
    assert_int_equal(fake->last.kind, REQUEST_PUSH);
    assert_int_equal(fake->last.push.kind, KIND_FILE);
    assert_false(fake->last.push.check);
    assert_true(fake->last.push.wait);
    assert_int_equal(fake->last.push.size, 7);
    assert_int_equal(fake->last.push.expire_us, 77);
    assert_int_equal(fake->last.push.shards_k, 3);
    assert_int_equal(fake->last.push.shards_m, 2);
    assert_int_equal(fake->last.push.id.bytes[0], 7);
    assert_int_equal(fake->last.push.to.kind, DEST_ADDRESS);
    assert_string_equal(fake->last.push.spool, "1.up");
    assert_string_equal(fake->file.name, "photo.jpg");
    assert_int_equal(fake->file.digest[1], 0x9e);
    assert_int_equal(fake->spool_removed, 0);

    struct answer accepted = {.client = fake->client, .kind = ANSWER_MESSAGE};
    accepted.message.state = MESSAGE_QUEUED;
    control_answer(fake->control, &accepted);
    P2pd__Control__Answer *answer = read_answer(fake, fd);
    assert_int_equal(answer->message->state, MESSAGE_QUEUED);
    assert_true(answer->request_id == 21);
    p2pd__control__answer__free_unpacked(answer, NULL);
    assert_int_equal(fake->spool_removed, 1); /* its message has it under another name */
    accepted.message.state = MESSAGE_DELIVERED;
    accepted.end = true;
    control_answer(fake->control, &accepted);
    answer = read_answer(fake, fd);
    assert_true(answer->end);
    p2pd__control__answer__free_unpacked(answer, NULL);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->spool_removed, 1);
    assert_int_equal(fake->gone, 0);
    close(fd);
}

static void test_a_file_that_is_not_wanted(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    send_send(fake, fd, "x");
    run_until(fake, fake->requests == 1);
    answer_text(fake, ANSWER_KEY_CHANGED);
    expect_refusal(fake, fd, ANSWER_KEY_CHANGED, "");
    assert_int_equal(fake->spool_made, 0);
    assert_int_equal(fake->gone, 0);
}

static void test_a_spool_that_is_full(void **state) {
    struct fake *fake = *state;
    fake->spool_error = -ENOSPC;
    int fd = connect_to(fake);
    send_send(fake, fd, "x");
    run_until(fake, fake->requests == 1);
    answer_text(fake, ANSWER_OK);
    expect_refusal(fake, fd, ANSWER_FAILED, "No space");
    assert_int_equal(fake->spool_removed, 0);
}

static void test_a_sender_that_goes_leaves_nothing(void **state) {
    struct fake *fake = *state;
    int file, fd = begin_send(fake, &file);
    assert_false(ev_is_active(&fake->control->clients->deadline)); /* it may take hours */
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->spool_removed, 1);
    assert_string_equal(fake->removed, "1.up");
    assert_int_equal(fake->gone, 0);
    close(file);
}

/* The store may be at work on it: its name must not be taken away. */
static void test_a_sender_that_goes_when_all_is_said(void **state) {
    struct fake *fake = *state;
    int file, fd = begin_send(fake, &file);
    send_done(fake, fd, 0, FILE_DIGEST_LEN);
    run_until(fake, fake->requests == 2);
    close(fd);
    run_until(fake, fake->gone == 1);
    assert_int_equal(fake->spool_removed, 0);
    close(file);
}

static void test_a_push_that_fails_takes_the_file_with_it(void **state) {
    struct fake *fake = *state;
    int file, fd = begin_send(fake, &file);
    send_done(fake, fd, 5, FILE_DIGEST_LEN);
    run_until(fake, fake->requests == 2);
    answer_text(fake, ANSWER_FAILED);
    expect_refusal(fake, fd, ANSWER_FAILED, "");
    assert_int_equal(fake->spool_removed, 1);
    close(file);
}

static void test_what_may_follow_a_send(void **state) {
    struct fake *fake = *state;
    int file, fd = connect_to(fake);
    send_done(fake, fd, 5, FILE_DIGEST_LEN);
    expect_refusal(fake, fd, ANSWER_USAGE, "no file was begun");

    fd = begin_send(fake, &file);
    close(file);
    send_done(fake, fd, 5, FILE_DIGEST_LEN + 1);
    expect_refusal(fake, fd, ANSWER_USAGE, "SHA-256");
    assert_int_equal(fake->spool_removed, 1);

    fd = begin_send(fake, &file);
    close(file);
    send_status(fake, fd);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->spool_removed, 2);
    close(fd);

    fd = begin_send(fake, &file);
    close(file);
    uint8_t header[FRAME_HEADER];
    frame_put_length(header, CONTROL_CONFIRM_MAX + 1);
    write_bytes(fake, fd, header, sizeof header);
    expect_refusal(fake, fd, ANSWER_LIMIT, "too large");
    assert_int_equal(fake->spool_removed, 3);
    assert_int_equal(fake->gone, 0);
}

/* Before the descriptor is there nothing can be done with it. */
static void test_done_before_it_was_offered(void **state) {
    struct fake *fake = *state;
    int fd = connect_to(fake);
    send_send(fake, fd, "x");
    run_until(fake, fake->requests == 1);
    send_done(fake, fd, 5, FILE_DIGEST_LEN);
    run_until(fake, fake->gone == 1);
    assert_int_equal(fake->requests, 1);
    assert_int_equal(fake->spool_made, 0);
    close(fd);
}

static void expect_one_refusal(struct fake *fake, int fd, const char *part) {
    P2pd__Control__Answer *answer = read_answer(fake, fd);
    assert_int_equal(answer->code, ANSWER_LIMIT);
    assert_non_null(strstr(answer->text, part));
    p2pd__control__answer__free_unpacked(answer, NULL);
    close(fd);
}

static void test_files_under_way_are_bounded(void **state) {
    struct fake *fake = *state;
    int fds[CONTROL_SENDS_MAX], file;
    for (size_t i = 0; i < CONTROL_SENDS_MAX; i++) {
        if (i == CONTROL_SENDS_UID) {
            int fd = connect_to(fake);
            send_send(fake, fd, "x");
            expect_one_refusal(fake, fd, "too many files");
            /* Root, or who is not, still can. */
            fake_peer.uid = fake_peer.uid == 0 ? MY_UID : 0;
            struct control_config config = config_of(fake);
            config.gid = fake_peer.gid;
            control_reconfigure(fake->control, &config);
        }
        fds[i] = begin_send(fake, &file);
        close(file);
    }
    int fd = connect_to(fake);
    send_send(fake, fd, "x");
    expect_one_refusal(fake, fd, "too many files");
    /* One that is done makes room. */
    send_done(fake, fds[0], 1, FILE_DIGEST_LEN);
    run_until(fake, fake->requests == CONTROL_SENDS_MAX + 1);
    answer_text(fake, ANSWER_OK);
    fd = begin_send(fake, &file);
    close(file);
    close(fd);
    for (size_t i = 0; i < CONTROL_SENDS_MAX; i++)
        close(fds[i]);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->spool_removed, fake->spool_made);
}

static void test_the_end_of_the_daemon_gives_files_up(void **state) {
    struct fake *fake = *state;
    int file, given, fd = begin_send(fake, &file), done = begin_send(fake, &given);
    send_done(fake, done, 1, FILE_DIGEST_LEN);
    run_until(fake, fake->requests == 3);
    control_hide(fake->control);
    assert_int_equal(fake->spool_removed, 1);
    assert_string_equal(fake->removed, "1.up");
    control_close(fake->control);
    fake->control = NULL;
    assert_int_equal(fake->spool_removed, 1);
    close(fd);
    close(done);
    close(file);
    close(given);
}

/* ---- Received files ---- */

static int ask_file(struct fake *fake) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__FileOpen file = P2PD__CONTROL__FILE_OPEN__INIT;
    uint8_t id[MESSAGE_ID_LEN] = {9};
    size_t before = fake->requests;
    int fd = connect_to(fake);
    file.id = (ProtobufCBinaryData){sizeof id, id};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_FILE_OPEN;
    request.file_open = &file;
    send_request(fake, fd, &request);
    run_until(fake, fake->requests == before + 1);
    assert_int_equal(fake->last.kind, REQUEST_FILE_OPEN);
    return fd;
}

static void answer_file(struct fake *fake, const char *path) {
    struct file_record record = {.state = FILE_WAITING, .size = 7};
    struct answer answer = {.client = fake->client, .kind = ANSWER_FILES, .end = true};
    snprintf(record.path, sizeof record.path, "%s", path);
    snprintf(record.head.name, sizeof record.head.name, "photo.jpg");
    answer.files.v = &record;
    answer.files.n = 1;
    control_answer(fake->control, &answer);
}

static void test_a_file_is_handed_out(void **state) {
    struct fake *fake = *state;
    char path[64], bytes[8] = "";
    snprintf(path, sizeof path, "%s/f", fake->folder);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(file, "content", 7), 7);
    close(file);
    int fd = ask_file(fake);
    answer_file(fake, path);
    P2pd__Control__Answer *answer = read_answer_fd(fake, fd, &file);
    assert_int_equal(answer->n_files, 1);
    assert_true(answer->end);
    assert_memory_equal(answer->files[0]->name.data, "photo.jpg", 9);
    p2pd__control__answer__free_unpacked(answer, NULL);
    assert_int_equal(read(file, bytes, sizeof bytes), 7);
    assert_string_equal(bytes, "content");
    assert_int_equal(fcntl(file, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(file);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
    unlink(path);
}

static void test_what_lies_there_is_no_file(void **state) {
    struct fake *fake = *state;
    char path[64];
    snprintf(path, sizeof path, "%s/f\x1b", fake->folder);
    int fd = ask_file(fake);
    answer_file(fake, path);
    expect_refusal(fake, fd, ANSWER_UNKNOWN, "f\\x1b: No such file");
    assert_int_equal(symlink("/etc/passwd", path), 0);
    fd = ask_file(fake);
    answer_file(fake, path);
    expect_refusal(fake, fd, ANSWER_FAILED, "no regular file");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    fd = ask_file(fake);
    answer_file(fake, path);
    expect_refusal(fake, fd, ANSWER_FAILED, "no regular file");
    unlink(path);
    fd = ask_file(fake);
    answer_text(fake, ANSWER_UNKNOWN);
    expect_refusal(fake, fd, ANSWER_UNKNOWN, "");
}

/* Somebody has put a link in the place of the folder: the daemon may read what its user may not. */
static void test_a_link_in_the_place_of_its_folder(void **state) {
    struct fake *fake = *state;
    char folder[48], away[48], path[64];
    snprintf(folder, sizeof folder, "%s/in", fake->folder);
    snprintf(away, sizeof away, "%s/away", fake->folder);
    snprintf(path, sizeof path, "%s/f", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(rename(folder, away), 0);
    assert_int_equal(symlink(away, folder), 0);
    int fd = ask_file(fake);
    answer_file(fake, path);
    expect_refusal(fake, fd, ANSWER_FAILED, "a link stands in the place of its folder");
    unlink(folder);
    assert_int_equal(rename(away, folder), 0);
    fd = ask_file(fake);
    answer_file(fake, path);
    int file = -1;
    p2pd__control__answer__free_unpacked(read_answer_fd(fake, fd, &file), NULL);
    assert_true(file >= 0);
    close(file);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
    unlink(path);
    rmdir(folder);
}

/* ---- Backups ---- */

static int ask_backup(struct fake *fake, const char *passphrase) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Backup backup = P2PD__CONTROL__BACKUP__INIT;
    int fd = connect_to(fake);
    backup.passphrase = (ProtobufCBinaryData){strlen(passphrase), (uint8_t *)passphrase};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_BACKUP;
    request.backup = &backup;
    send_request(fake, fd, &request);
    return fd;
}

static void test_a_backup(void **state) {
    struct fake *fake = *state;
    int file, ends[2], fd = ask_backup(fake, "correct horse");
    run_until(fake, fake->backups == 1);
    assert_string_equal(fake->passphrase, "correct horse");
    assert_int_equal(pipe(ends), 0);
    control_answer_fd(fake->control, fake->client, ends[0], "done");
    P2pd__Control__Answer *answer = read_answer_fd(fake, fd, &file);
    assert_int_equal(answer->code, ANSWER_OK);
    assert_string_equal(answer->text, "done");
    assert_true(answer->end);
    p2pd__control__answer__free_unpacked(answer, NULL);
    assert_true(file >= 0);
    assert_int_equal(fcntl(ends[0], F_GETFD), -1); /* ours is closed */
    close(file);
    close(ends[1]);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(fake->requests + fake->gone, 0);
}

static void test_a_backup_that_fails_or_comes_too_late(void **state) {
    struct fake *fake = *state;
    int ends[2], fd = ask_backup(fake, "x");
    run_until(fake, fake->backups == 1);
    control_answer_fd(fake->control, fake->client, -ENOSPC, "the disk is full");
    expect_refusal(fake, fd, ANSWER_FAILED, "the disk is full");
    fd = ask_backup(fake, "x");
    run_until(fake, fake->backups == 2);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
    assert_int_equal(pipe(ends), 0);
    control_answer_fd(fake->control, fake->client, ends[0], "done");
    assert_int_equal(fcntl(ends[0], F_GETFD), -1);
    close(ends[1]);
    fd = ask_backup(fake, "");
    expect_refusal(fake, fd, ANSWER_USAGE, "passphrase");
}

static void test_what_is_not_offered(void **state) {
    struct fake *fake = *state;
    fake->control->sink.backup = NULL;
    fake->control->sink.spool_create = NULL;
    int fd = ask_backup(fake, "x");
    expect_refusal(fake, fd, ANSWER_USAGE, "backups");
    fd = connect_to(fake);
    send_send(fake, fd, "x");
    expect_refusal(fake, fd, ANSWER_USAGE, "files");
}

/* ---- Descriptors that nobody asked for ---- */

static void test_a_clients_descriptor_is_closed_at_once(void **state) {
    struct fake *fake = *state;
    char byte;
    int ends[2], fd = connect_to(fake);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    uint8_t header[FRAME_HEADER];
    frame_put_length(header, 100);
    assert_int_equal(portable_send_fd(fd, header, sizeof header, 0, ends[1]), FRAME_HEADER);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), -1);
    run_until(fake, fake->control->clients && fake->control->clients->have == FRAME_HEADER);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* nobody can write any more */
    close(ends[0]);
    close(fd);
    run_until(fake, fake->control->n_clients == 0);
}

/* One that is discarded with its answer is closed as well. */
static void test_an_unsent_descriptor_is_closed(void **state) {
    struct fake *fake = *state;
    int ends[2], fd = ask_backup(fake, "x");
    run_until(fake, fake->backups == 1);
    assert_int_equal(pipe(ends), 0);
    control_answer_fd(fake->control, fake->client, ends[0], "");
    client_discard_output(fake->control->clients);
    assert_int_equal(fcntl(ends[0], F_GETFD), -1);
    run_until(fake, fake->control->n_clients == 0);
    close(ends[1]);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_is_sent),
        TEST(test_a_file_that_is_not_wanted),
        TEST(test_a_spool_that_is_full),
        TEST(test_a_sender_that_goes_leaves_nothing),
        TEST(test_a_sender_that_goes_when_all_is_said),
        TEST(test_a_push_that_fails_takes_the_file_with_it),
        TEST(test_what_may_follow_a_send),
        TEST(test_done_before_it_was_offered),
        TEST(test_files_under_way_are_bounded),
        TEST(test_the_end_of_the_daemon_gives_files_up),
        TEST(test_a_file_is_handed_out),
        TEST(test_what_lies_there_is_no_file),
        TEST(test_a_link_in_the_place_of_its_folder),
        TEST(test_a_backup),
        TEST(test_a_backup_that_fails_or_comes_too_late),
        TEST(test_what_is_not_offered),
        TEST(test_a_clients_descriptor_is_closed_at_once),
        TEST(test_an_unsent_descriptor_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
