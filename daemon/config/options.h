/* The command line of p2pd(8). */
#ifndef P2PD_OPTIONS_H
#define P2PD_OPTIONS_H

#include "daemon/config/config.h"

struct options {
    struct config_source source;
    bool check, dump, background;
    char pidfile[CONFIG_PATH_MAX];         /* "": none */
    char restore[CONFIG_PATH_MAX];         /* a backup to begin from, and no daemon; "": none */
    char passphrase_file[CONFIG_PATH_MAX]; /* of it; "": asked for */
    int64_t clock_offset_us;               /* for tests: how wrong this machine's clock is to be */
};
enum options_outcome {
    OPTIONS_RUN = 0,
    OPTIONS_DONE, /* help or version was printed */
    OPTIONS_WRONG /* said why on standard error */
};
/* Borrows argv for as long as *ret_options lives. */
enum options_outcome options_parse(int argc, char **argv, struct options *ret_options);

#endif
