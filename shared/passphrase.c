/* See passphrase.h. Threat: somebody looks at the screen; a program is stopped in between, and
 * leaves the terminal's echo off. */
#include "shared/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static ssize_t complain(char error[PASSPHRASE_ERROR_MAX], int code, const char *what,
                        const char *why) {
    snprintf(error, PASSPHRASE_ERROR_MAX, "%s: %s", what, why);
    return code;
}

/* A line without its end, LF or CR LF. -EFBIG: longer than room. */
static ssize_t read_line(int fd, char *ret_bytes, size_t room) {
    size_t length = 0;
    for (;;) {
        char c;
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n > 0 && c == '\n' && length > 0 && ret_bytes[length - 1] == '\r')
            length--;
        if (n == 0 || c == '\n')
            return (ssize_t)length;
        if (length == room)
            return -EFBIG;
        ret_bytes[length++] = c;
    }
}

static ssize_t ask_once(int fd, const char *prompt, char *ret_bytes, size_t room) {
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    struct termios shown, hidden;
    sigset_t stop, before;
    ssize_t n = -EIO;
    if (tcgetattr(fd, &shown) < 0)
        return -errno;
    /* A signal that ends or stops us in between would leave the terminal without echo. */
    sigemptyset(&stop);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        sigaddset(&stop, ends[i]);
    sigprocmask(SIG_BLOCK, &stop, &before);
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    if (tcsetattr(fd, TCSAFLUSH, &hidden) == 0 && write(fd, prompt, strlen(prompt)) >= 0)
        n = read_line(fd, ret_bytes, room);
    tcsetattr(fd, TCSAFLUSH, &shown);
    if (write(fd, "\n", 1) < 0)
        n = n < 0 ? n : -errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return n;
}

ssize_t passphrase_ask(const char *prompt, int again, char *ret_bytes, size_t room,
                       char error[PASSPHRASE_ERROR_MAX]) {
    char second[1024];
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return complain(error, -ENXIO, "no terminal to ask for the passphrase",
                        "use --passphrase-file FILE");
    ssize_t n = ask_once(fd, prompt, ret_bytes, room);
    if (n >= 0 && again) {
        ssize_t m = ask_once(fd, "Again: ", second, room < sizeof second ? room : sizeof second);
        if (m < 0)
            n = m;
        else if (m != n || sodium_memcmp(ret_bytes, second, (size_t)n) != 0)
            n = complain(error, -EINVAL, "passphrase", "the two differ");
        sodium_memzero(second, sizeof second);
        if (n == -EINVAL) {
            close(fd);
            return n;
        }
    }
    close(fd);
    return n < 0
               ? complain(error, (int)n, "passphrase", n == -EFBIG ? "too long" : strerror((int)-n))
               : n;
}

ssize_t passphrase_read(const char *path, char *ret_bytes, size_t room,
                        char error[PASSPHRASE_ERROR_MAX]) {
    int standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return complain(error, -errno, path, strerror(errno));
    ssize_t n = read_line(fd, ret_bytes, room);
    if (!standard)
        close(fd);
    return n < 0 ? complain(error, (int)n, path,
                            n == -EFBIG ? "the passphrase is too long" : strerror((int)-n))
                 : n;
}
